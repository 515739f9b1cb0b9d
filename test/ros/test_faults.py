# SPDX-License-Identifier: Apache-2.0
"""Faults of every kind, with the simulator, the policy and a watcher of all commands as processes.

A relay passes the robot's sensor messages to the policy and can falsify them. The policy fails on demand.
"""

import re
import signal

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
from lifecycle_msgs.msg import Transition
from ros_testing import call
from sensor_msgs.msg import Image, JointState
from small_robot import TASKS
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory
from waiting import wait_for

from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import stamp_ns, to_stamp
from dit_policy_ros.sim.robot import CONTROLLERS, HOME, JOINTS
from dit_policy_ros.srv import SetTask

pytestmark = pytest.mark.slow


def drop(message):
    return None


def test_sensors_fail_one_after_the_other_and_come_back(world):
    relay = world.relay

    def frozen():
        first = []

        def repeat(message):
            first.append(message)
            first[0].header = message.header
            return first[0]

        return repeat

    def without(joint):
        def remove(message):
            i = list(message.name).index(joint)
            kept = [k for k in range(len(message.name)) if k != i]
            position = [message.position[k] for k in kept]
            return JointState(header=message.header, name=[message.name[k] for k in kept], position=position)

        return remove

    def with_nan(message):
        position = list(message.position)
        position[3] = float("nan")
        return JointState(header=message.header, name=message.name, position=position)

    def behind(message):
        """The robot's clock is 0.2 s behind ours."""
        message.header.stamp = to_stamp(stamp_ns(message.header.stamp) - 200_000_000)
        return message

    for fault, reason in (
        ({"joints": behind}, "joint_states's clock is 0.2"),
        ({"image": drop}, "stream 'top'"),
        ({"joints": drop}, "stream 'joint_states'"),
        ({"joints": without("left_joint_2")}, "left_joint_2: newest sample is"),
        ({"joints": with_nan}, "stream 'joint_states'"),
        ({"image": frozen()}, "the image has been the same"),
    ):
        for name, alter in fault.items():
            setattr(relay, name, alter)
        world.held(reason)
        relay.heal()
        world.resumes_by_itself()
    log = world.policy.output()
    assert "not finite: " in log


def test_the_order_of_joints_does_not_matter(world):
    def reversed_(message):
        return JointState(
            header=message.header,
            name=list(message.name)[::-1],
            position=list(message.position)[::-1],
            velocity=list(message.velocity)[::-1],
        )

    world.relay.joints = reversed_
    plans = world.relay.status.plans
    wait_for(lambda: world.relay.status.plans > plans + 20, 20.0, "plans go on")
    measured = dict(zip(world.relay.states[-1].name, world.relay.states[-1].position, strict=True))
    assert max(abs(measured[j] - h) for j, h in zip(JOINTS, HOME, strict=True)) < 0.35, (
        "the arms move as before"
    )


@pytest.mark.parametrize(
    ("fault", "reason", "by_itself"),
    [
        ("nan", "not finite", False),
        ("raise", "RuntimeError: the accelerator fell off the bus", False),
        ("slow", "starved", True),
        ("hang", "no chunk: none for", True),
    ],
)
def test_a_failing_inference_holds(world, fault, reason, by_itself):
    world.fault(fault)
    world.held(reason)
    world.fault("")
    if by_itself:
        world.resumes_by_itself()
    else:
        assert world.relay.status.state == PolicyStatus.HOLD
        world.running()


def test_nothing_moves_after_an_e_stop_whatever_is_asked_at_the_same_time(world):
    relay = world.relay
    resume = relay.create_client(Trigger, "/policy/resume")
    set_task = relay.create_client(SetTask, "/policy/set_task")
    for attempt in range(5):
        wait_for(lambda: resume.service_is_ready() and set_task.service_is_ready(), 10.0, "the services")
        for k in range(6):
            resume.call_async(Trigger.Request())
            set_task.call_async(SetTask.Request(task=TASKS[(attempt + k) % 2]))
        assert call(relay, SetBool, "/policy/e_stop", SetBool.Request(data=True)).success
        for _ in range(6):
            resume.call_async(Trigger.Request())
        world.held("e-stop")
        plans = relay.status.plans
        refused = call(relay, Trigger, "/policy/resume", Trigger.Request())
        assert not refused.success and "e-stop is latched" in refused.message
        assert call(relay, SetBool, "/policy/e_stop", SetBool.Request(data=False)).success
        wait_for(lambda: not relay.status.e_stop, 10.0, "the latch is open")
        assert relay.status.state == PolicyStatus.HOLD and relay.status.plans == plans
        world.running()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"height": 60, "width": 60, "step": 180}, "image is 60x60"),
        ({"encoding": "32FC1", "width": 80, "step": 320}, "encoding '32FC1'"),
        ({"data": b"short"}, "carries 5 bytes"),
    ],
)
def test_unusable_images_hold_with_the_reason(world, change, reason):
    def altered(message):
        fields = {"height": 60, "width": 80, "encoding": "rgb8", "step": 240, "data": bytes(60 * 80 * 4)}
        return Image(header=message.header, **(fields | change))

    world.relay.image = altered
    world.held(reason)
    world.relay.heal()
    world.running()


def test_images_of_another_size_and_the_same_aspect_ratio_work(world):
    def larger(message):
        pixels = np.frombuffer(message.data, np.uint8).reshape(60, 80, 3)
        data = np.kron(pixels, np.ones((2, 2, 1), np.uint8)).tobytes()
        return Image(header=message.header, height=120, width=160, encoding="bgr8", step=480, data=data)

    world.relay.image = larger
    plans = world.relay.status.plans
    wait_for(lambda: world.relay.status.plans > plans + 20, 20.0, "plans go on")


def test_1000_malformed_messages_among_good_ones_do_no_harm(world):
    rng = np.random.default_rng(0)
    relay, plans = world.relay, world.relay.status.plans
    for k in range(1000):
        names = [str(rng.choice(JOINTS)) for _ in range(rng.integers(0, 20))]
        message = JointState(name=names, position=rng.normal(size=rng.integers(0, 20)).tolist())
        message.header.stamp.sec = int(rng.integers(0, 2**31))
        relay.joint_states.publish(message)
        if k % 4 == 0:
            image = Image(encoding=str(rng.choice(["rgb8", "", "x"])), height=int(rng.integers(0, 9)))
            image.header.stamp.sec = int(rng.integers(0, 2**31))
            relay.images.publish(image)
    wait_for(lambda: relay.status.plans > plans + 20, 30.0, "plans go on")
    assert world.policy.alive


def test_when_the_policy_is_killed_the_arms_brake_along_their_last_plan(world):
    relay = world.relay
    wait_for(lambda: np.abs(relay.states[-1].velocity).max() > 0.1, 20.0, "the arms move")
    world.policy.process.kill()
    wait_for(lambda: not world.policy.alive, 10.0, "the process is gone")
    plans = {}

    def rested():
        plans.update({name: messages[-1] for name, messages in relay.commands.items()})
        end = max(stamp_ns(m.header.stamp) + 800_000_000 for m in plans.values())
        return stamp_ns(relay.states[-1].header.stamp) > end + 300_000_000

    wait_for(rested, 20.0, "the last plan is over")
    final = dict(zip(relay.states[-1].name, relay.states[-1].position, strict=True))
    for name, joints in CONTROLLERS.items():
        end = plans[name].points[-1]
        assert not any(end.velocities)
        for joint, position in zip(joints, end.positions, strict=True):
            assert final[joint] == pytest.approx(position, abs=0.02), f"{joint} stands where its plan ends"
    assert np.abs(relay.states[-1].velocity).max() < 0.02
    stopped = stamp_ns(plans["left_arm_controller"].header.stamp)
    moving = [s for s in relay.states if np.abs(s.velocity).max() > 0.03]
    assert stamp_ns(moving[-1].header.stamp) - stopped < 1_000_000_000, "within plan_horizon and 0.2 s"


def jumps_to_home(violation):
    found = re.fullmatch(r"(\w+) at [\d.]+: joint (\d+) jumps from \S+ to (\S+)", violation)
    if found is None:
        return False
    joint = CONTROLLERS[found[1]][int(found[2])]
    return abs(float(found[3]) - HOME[JOINTS.index(joint)]) < 0.01


def test_motion_resumes_after_the_simulator_is_killed_and_restarted(world):
    world.sim.process.send_signal(signal.SIGKILL)
    wait_for(lambda: world.relay.status.state == PolicyStatus.HOLD, 20.0, "a hold when the robot is gone")
    reason = world.relay.status.hold_reason
    assert "stream" in reason or "controller lost" in reason or "starved" in reason
    world.start_sim()
    world.resumes_by_itself()
    plans = world.relay.status.plans
    wait_for(lambda: world.relay.status.plans > plans + 5, 20.0, "plans go on")
    # The new controllers hold the arms at home, so the next plan must begin there. The watcher only knows the
    # plans before, so this beginning looks like a jump to it.
    world.excused = jumps_to_home


def test_a_controller_that_is_switched_off_and_on_again_makes_no_step(world):
    state_type = pytest.importorskip(
        "control_msgs.msg", reason="control_msgs has no messages here: make setup"
    )
    relay, name, references = world.relay, "left_arm_controller", []
    relay.create_subscription(
        state_type.JointTrajectoryControllerState,
        f"/{name}/controller_state",
        lambda m: references.append((stamp_ns(m.header.stamp), np.array(m.reference.positions))),
        100,
    )

    def set_active(active):
        assert call(relay, SetBool, f"/sim/{name}/set_active", SetBool.Request(data=active)).success

    wait_for(lambda: len(references) > 10, 10.0, "its states are received")
    wait_for(lambda: np.abs(relay.states[-1].velocity).max() > 0.1, 20.0, "the arms move")
    set_active(False)
    wait_for(
        lambda: f"{name} publishes nothing" in relay.status.hold_reason,
        20.0,
        "a hold that names the controller",
    )
    set_active(True)
    # The controller holds what it commanded when it was switched off, so the next plan must begin there. The
    # watcher only knows the plans that it has dropped, so this beginning looks like a jump to it.
    world.excused = lambda violation: f"{name} at" in violation and "jumps" in violation
    world.resumes_by_itself()
    plans = relay.status.plans
    wait_for(lambda: relay.status.plans > plans + 10, 20.0, "plans go on")
    times, positions = (
        np.array([t for t, _ in references]),
        np.array([p for _, p in references]),
    )  # (n,), (n, 6)
    steps, elapsed = np.abs(np.diff(positions, axis=0)).max(axis=1), np.diff(times) * 1e-9  # (n - 1,) both
    fast = np.flatnonzero(steps > 3.0 * elapsed + 1e-6)
    assert not len(fast), f"{steps[fast]} in {elapsed[fast]} s, {len(references) - fast} states ago"
    assert steps[-100:].max() > 0.0, "it moves again"


def test_a_teleoperation_node_that_appears_holds_until_an_operator_resumes(world):
    plans = world.relay.status.plans
    wait_for(lambda: world.relay.status.plans > plans + 20, 20.0, "the soft start is over")
    teleop = rclpy.node.Node("teleop")
    teleop.create_publisher(JointTrajectory, "/right_arm_controller/joint_trajectory", 1)
    world.held("/teleop also commands right_arm_controller")
    assert not world.relay.status.hold_recoverable
    assert "/teleop" in call(world.relay, Trigger, "/policy/resume", Trigger.Request()).message
    teleop.destroy_node()
    world.running()


def test_services_answer_in_every_state_of_the_node(world):
    relay = world.relay

    def ask_all():
        for kind, name in ((SetBool, "e_stop"), (Trigger, "resume")):
            assert call(relay, kind, f"/policy/{name}", kind.Request()) is not None

    ask_all()
    for number in (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    ):
        assert world.transition(number)
        ask_all()
    world.running()

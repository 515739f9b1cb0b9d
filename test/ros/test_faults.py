# SPDX-License-Identifier: Apache-2.0
"""Faults of every kind, with the simulator, the policy and a watcher of all commands as processes.

A relay passes the robot's sensor messages to the policy and can falsify them. The policy fails on demand.
"""

import json
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from ros_testing import call, spinning
from sensor_msgs.msg import Image, JointState
from small_robot import TASKS, tiny_checkpoint
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory
from waiting import wait_for

from dit_policy_ros.core.share import share_directory
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos, stamp_ns
from dit_policy_ros.sim.robot import CONTROLLERS, HOME, JOINTS
from dit_policy_ros.srv import SetTask

pytestmark = pytest.mark.slow
SUPPORT = Path(__file__).parents[1] / "support"


class Relay(rclpy.node.Node):
    """Passes sensor messages from the robot to the policy, changed by the tests; keeps all other messages."""

    def __init__(self):
        super().__init__("relay")
        self.joints = lambda message: message  # changes a message; returning None drops it
        self.image = lambda message: message
        self.status, self.referee = PolicyStatus(), {}
        self.states: list[JointState] = []
        self.commands: dict[str, list[JointTrajectory]] = {name: [] for name in CONTROLLERS}
        self.joint_states = self.create_publisher(JointState, "/relayed/joint_states", qos.JOINT_STATES)
        self.images = self.create_publisher(Image, "/relayed/top", qos.IMAGES)
        self.create_subscription(JointState, "/joint_states", self._on_joints, qos.JOINT_STATES)
        self.create_subscription(Image, "/top/image_raw", self._on_image, qos.IMAGES)
        self.create_subscription(PolicyStatus, "/policy/status", lambda m: setattr(self, "status", m), 10)
        self.create_subscription(DiagnosticStatus, "/sim/referee", self._on_referee, 10)
        for name, messages in self.commands.items():
            self.create_subscription(JointTrajectory, f"/{name}/joint_trajectory", messages.append, 100)

    def _on_joints(self, message):
        self.states.append(message)
        if (passed := self.joints(message)) is not None:
            self.joint_states.publish(passed)

    def _on_image(self, message):
        if (passed := self.image(message)) is not None:
            self.images.publish(passed)

    def _on_referee(self, message):
        self.referee = {pair.key: pair.value for pair in message.values}

    def heal(self):
        self.joints = self.image = lambda message: message


class World:
    """All processes, and what the tests do to them."""

    def __init__(self, relay, start_process, folder):
        self.relay, self._start, self._folder = relay, start_process, folder
        self.fault_file, self.report_file = folder / "fault", folder / "watcher.json"
        self.fault("")
        self.excused = lambda violation: False  # which violations a test causes on purpose
        self.checkpoint = tiny_checkpoint(folder / "checkpoint", joints=JOINTS, around=HOME)
        self.config = str(share_directory() / "config" / "bimanual.yaml")
        watcher = (sys.executable, str(SUPPORT / "watcher.py"), str(self.report_file), self.config)
        self.watcher = start_process("watcher", *watcher)
        self.start_sim()
        self.start_policy()

    def start_sim(self):
        small = ("-p", "image_width:=80", "-p", "image_height:=60", "-p", "cameras:=[top]")
        small += ("-p", "discovery_time:=0.0")
        self.sim = self._start("sim", "dit_policy_ros.ros.sim.sim_node", "--ros-args", *small)

    def start_policy(self):
        changes = {
            "checkpoint": self.checkpoint,
            "task": TASKS[0],
            "plan_horizon": 0.8,
            "joint_states.topic": "/relayed/joint_states",
            "joint_states.max_age": 0.5,
            "cameras.top.topic": "/relayed/top",
            "cameras.top.max_age": 0.5,
            "frozen_after": 1.0,
        }
        arguments = [a for name, value in changes.items() for a in ("-p", f"{name}:={value}")]
        command = (sys.executable, str(SUPPORT / "faulty_policy_node.py"), "--ros-args")
        python_path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        self.policy = self._start(
            "policy",
            *(*command, "--params-file", self.config, *arguments),
            FAULT_FILE=str(self.fault_file),
            PYTHONPATH=python_path,
        )
        self.transition(Transition.TRANSITION_CONFIGURE)
        wait_for(lambda: self.relay.states, 60.0, "the robot is up")
        wait_for(lambda: self.transition(Transition.TRANSITION_ACTIVATE), 30.0, "activation")
        self.running()

    def transition(self, number):
        request = ChangeState.Request(transition=Transition(id=number))
        return call(self.relay, ChangeState, "/policy/change_state", request, timeout=90.0).success

    def fault(self, what):
        self.fault_file.write_text(what)

    def running(self):
        """Wait until plans are published; resume if needed."""
        relay = self.relay

        def resumed():
            if relay.status.state != PolicyStatus.RUNNING:
                call(relay, Trigger, "/policy/resume", Trigger.Request())
            return relay.status.state == PolicyStatus.RUNNING

        wait_for(resumed, 30.0, f"running, not {relay.status.state_name}: {relay.status.hold_reason}", 0.2)
        plans = relay.status.plans
        wait_for(lambda: relay.status.plans > plans + 3 or relay.status.plans < plans, 20.0, "plans")

    def held(self, reason):
        """Wait for a hold with this reason, and for the arms to stand."""
        relay = self.relay
        wait_for(
            lambda: relay.status.state == PolicyStatus.HOLD and reason in relay.status.hold_reason,
            20.0,
            f"a hold because of {reason!r}",
        )
        wait_for(lambda: np.abs(relay.states[-1].velocity).max() < 0.02, 10.0, "the arms stand")
        ends = {name: stamp_ns(messages[-1].header.stamp) for name, messages in relay.commands.items()}
        assert len(set(ends.values())) == 1, "all controllers hold together"

    def resumes_by_itself(self):
        wait_for(lambda: self.relay.status.state == PolicyStatus.RUNNING, 20.0, "motion goes on by itself")

    def violations(self):
        """The violations that the watcher has found so far; it must have received some messages."""
        messages = sum(len(each) for each in self.relay.commands.values())
        report = wait_for(
            lambda: (
                self.report_file.exists()
                and (r := json.loads(self.report_file.read_text()))["messages"] >= messages > 0
                and r
            ),
            20.0,
            "the watcher's report",
        )
        return [each for each in report["violations"] if not self.excused(each)]


@pytest.fixture
def world(ros_domain, start_process, tmp_path):
    relay = Relay()
    with spinning(relay):
        made = World(relay, start_process, tmp_path)
        yield made
        assert made.violations() == []
        assert made.relay.referee["nan_commands"] == "0"
        rejected = [line for line in made.sim.output().splitlines() if "rejects a trajectory" in line]
        assert not [line for line in rejected if "ends in the past" not in line]


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

    for fault, reason in (
        ({"image": drop}, "stream 'top'"),
        ({"joints": drop}, "stream 'joint_states'"),
        ({"joints": without("left_joint_2")}, "stream 'joint_states'"),
        ({"joints": with_nan}, "stream 'joint_states'"),
        ({"image": frozen()}, "the image has been the same"),
    ):
        for name, alter in fault.items():
            setattr(relay, name, alter)
        world.held(reason)
        relay.heal()
        world.resumes_by_itself()
    log = world.policy.output()
    assert "JointState lacks left_joint_2" in log and "not finite: " in log


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

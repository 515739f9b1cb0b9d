# SPDX-License-Identifier: Apache-2.0
"""The policy node over DDS, with the topics of a small robot and a real checkpoint (tiny, random weights)."""

import itertools
import os
import resource
import shutil
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from motion_helpers import PERIOD_NS, assert_executable
from policy_watch import LIMITS, Watch, running, state
from ros_testing import call, now_ns, resume
from small_robot import (
    HEIGHT,
    JOINTS,
    TASKS,
    WIDTH,
    SmallRobot,
    parameters,
    policy_node,
    spinning_together,
    tiny_checkpoint,
)
from std_srvs.srv import SetBool, Trigger
from waiting import wait_for

from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.policy.policy_node import PolicyNode


def test_plans_obey_every_limit_and_both_arms_have_the_same_stamp(ros_domain, checkpoint):
    with running(checkpoint) as watch:
        wait_for(lambda: watch.status.plans >= 10, 10.0, "ten plans")
        plans = list(watch.plans())
        assert len(plans) >= 8
        for plan in plans:
            assert_executable(plan, LIMITS)
        assert np.ptp([plan.positions[-1, 0] for plan in plans]) > 1e-3, "the policy must move something"
        np.testing.assert_allclose(plans[0].positions[0], 0.02, atol=1e-9)
        assert watch.status.state == PolicyStatus.RUNNING
        assert watch.status.inference_latency_p50 > 0.0 and watch.status.control_rate > 10.0


@pytest.mark.slow
def test_consecutive_plans_agree_during_the_frozen_knots(ros_domain, checkpoint):
    with running(checkpoint) as watch:
        wait_for(lambda: watch.status.plans >= 10, 10.0, "ten plans")
        plans = list(watch.plans())
    # A busy machine may cause a hold. That is not on the grid of knots, and may change the frozen ones.
    pairs = [
        (old, new)
        for old, new in itertools.pairwise(plans)
        if (new.times_ns[0] - old.times_ns[0]) % PERIOD_NS == 0
    ]
    assert len(pairs) >= 5
    for old, new in pairs:
        # Integers: as a float, a time since 1970 is off by up to 128 ns and may be before the first knot.
        times_ns = new.times_ns[0] + np.linspace(0, 66_000_000, 20).astype(np.int64)
        np.testing.assert_allclose(new.sample(times_ns)[0], old.sample(times_ns)[0], atol=1e-7)


def test_nothing_is_published_before_activation_and_deactivation_ends_in_a_hold(ros_domain, checkpoint):
    with running(checkpoint, activate=False) as watch:
        watch.wait_state(PolicyStatus.INACTIVE)
        assert not watch.robot.received
        watch.node.trigger_activate()
        wait_for(lambda: watch.status.plans >= 3, 10.0, "plans")
        watch.node.trigger_deactivate()
        assert state(watch.node) == "inactive"
        hold = watch.node.state.configured.motion.pipeline.plan
        wait_for(lambda: list(watch.plans())[-1].times_ns[0] == hold.times_ns[0], 5.0, "the hold arrives")
        np.testing.assert_allclose(list(watch.plans())[-1].positions, hold.positions)
        count = len(watch.robot.received)
        watch.wait_state(PolicyStatus.INACTIVE)
        assert len(watch.robot.received) == count, "nothing may follow the hold"


@pytest.mark.parametrize("stream", ["camera_on", "joints_on"])
def test_a_dead_stream_holds_with_its_name_and_motion_resumes_when_it_is_back(ros_domain, checkpoint, stream):
    with running(checkpoint) as watch:
        setattr(watch.robot, stream, False)
        watch.wait_hold("top" if stream == "camera_on" else "joint_states")
        assert_executable(list(watch.plans())[-1], LIMITS)
        setattr(watch.robot, stream, True)
        watch.wait_state(PolicyStatus.RUNNING)
        assert watch.status.hold_reason == ""


def test_a_lost_controller_holds_both_arms(ros_domain, checkpoint):
    with running(checkpoint) as watch:
        watch.robot.disconnect("left_arm_controller")
        watch.wait_hold("left_arm_controller")
        wait_for(lambda: not watch.robot.of("right_arm_controller")[-1].points[-1].velocities[0], 5.0, "rest")


def test_a_tracking_error_holds_until_an_operator_resumes(ros_domain, checkpoint):
    with running(checkpoint, activate=False, max_tracking_error=0.05) as watch:
        watch.node.trigger_activate()  # the small robot never moves
        watch.wait_hold("tracking error")
        assert "left_joint_1" in watch.status.hold_reason or "right_joint_1" in watch.status.hold_reason
        assert not watch.node.state.configured.motion.recoverable


def test_a_chunk_that_is_not_finite_holds_until_an_operator_resumes(ros_domain, checkpoint, monkeypatch):
    with running(checkpoint) as watch:
        policy = watch.policy
        predict = policy.predict
        monkeypatch.setattr(policy, "predict", lambda *a, **k: predict(*a, **k) * np.nan)
        watch.wait_hold("not finite")
        monkeypatch.setattr(policy, "predict", predict)
        plans = watch.status.plans
        for plan in watch.plans():
            assert np.isfinite(plan.positions).all()
        assert "resumed" in resume(watch.robot)
        wait_for(lambda: watch.status.plans > plans, 10.0, "plans go on")


@pytest.mark.slow
def test_an_exception_in_inference_holds_and_is_named(ros_domain, checkpoint, monkeypatch):
    def broken(*_args, **_kwargs):
        raise RuntimeError("out of memory")

    with running(checkpoint) as watch:
        monkeypatch.setattr(watch.policy, "predict", broken)
        watch.wait_hold("RuntimeError: out of memory")


def test_a_policy_that_stalls_holds_as_starved(ros_domain, checkpoint, monkeypatch):
    release = threading.Event()
    with running(checkpoint) as watch:
        policy = watch.policy
        predict = policy.predict
        monkeypatch.setattr(policy, "predict", lambda *a, **k: (release.wait(20.0), predict(*a, **k))[1])
        watch.wait_hold("starved")
        release.set()
        watch.wait_state(PolicyStatus.RUNNING)


@pytest.mark.slow
def test_e_stop_is_latched_until_cleared_and_resumed(ros_domain, checkpoint):
    with running(checkpoint) as watch:
        robot = watch.robot
        assert call(robot, SetBool, "/policy/e_stop", SetBool.Request(data=True)).success
        watch.wait_hold("e-stop")
        assert watch.status.e_stop
        refused = call(robot, Trigger, "/policy/resume", Trigger.Request())
        assert not refused.success and "latched" in refused.message
        assert call(robot, SetBool, "/policy/e_stop", SetBool.Request(data=False)).success
        wait_for(lambda: not watch.status.e_stop, 5.0, "the latch is cleared")
        assert watch.status.state == PolicyStatus.HOLD, "clearing the latch must not start motion"
        resume(robot)
        watch.wait_state(PolicyStatus.RUNNING)


def test_the_task_changes_while_running_and_invalid_tasks_do_not_change_it(ros_domain, checkpoint):
    with running(checkpoint) as watch:
        assert list(watch.task(TASKS[1]).known_tasks) == list(TASKS)
        wait_for(lambda: watch.status.task == TASKS[1], 5.0, "the new task in the status")
        for bad, hint in (("", "empty"), ("x" * 10_000, "10000")):
            answer = watch.task(bad)
            assert not answer.success and hint in answer.message and TASKS[0] in answer.message
        unknown = watch.task("make coffee")
        assert unknown.success and "not trained" in unknown.message
        wait_for(
            lambda: watch.status.task == "make coffee", 5.0, "an unknown task is followed with a warning"
        )
        assert watch.status.state == PolicyStatus.RUNNING


def configure_error(capfd, checkpoint, **changes):
    """What the node logs when it refuses to configure. It must stay unconfigured."""
    node = policy_node(parameters(checkpoint=str(checkpoint), **changes))
    with spinning_together(node):
        node.trigger_configure()
        assert state(node) == "unconfigured" == state(node.inference)
    return capfd.readouterr().err


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"checkpoint": "nowhere/to/be/found"}, ["nowhere/to/be/found", "does not exist"]),
        ({"speling": 1}, ["speling", "unknown parameter"]),
        ({"control_rate": "fast"}, ["control_rate", "a number", "'fast'"]),
        ({"control_rate": float("nan")}, ["control_rate", "nan"]),
        ({"limits__left_joint_1__velocity": float("nan")}, ["limits.left_joint_1.velocity", "nan"]),
        ({"joints": [*JOINTS[:3], JOINTS[0]]}, ["joints[3]", "each name once", "left_joint_1"]),
        ({"task": "x" * 10_000}, ["10000", "1000 characters"]),
        ({"device": "tpu"}, ["device", "tpu", "cuda"]),
        ({"plan_horizon": 0.2}, ["plan_horizon", "brake", "left_joint_1"]),
        ({"fps": 25.0}, ["fps", "30 Hz in the checkpoint"]),
    ],
)
def test_invalid_parameters_leave_the_node_unconfigured_with_one_clear_error(
    ros_domain, checkpoint, capfd, changes, parts
):
    values = {"checkpoint": checkpoint} | changes
    text = configure_error(capfd, **values)
    for part in parts:
        assert part in text, text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("checkpoint_changes", "parts"),
    [
        (
            {"joints": (*JOINTS, "extra_joint")},
            ["state: no joint", "action: no joint", "extra_joint"],
        ),
        ({"joints": ("left_joint_1.pos", *JOINTS[1:])}, ["'left_joint_1.pos'", "'dataset_names'"]),
        ({"camera": "overhead"}, ["cameras.overhead", "top"]),
    ],
)
def test_a_checkpoint_of_another_robot_is_refused(ros_domain, tmp_path, capfd, checkpoint_changes, parts):
    text = configure_error(capfd, tiny_checkpoint(tmp_path / "other", **checkpoint_changes))
    for part in parts:
        assert part in text, text


@pytest.mark.slow
def test_what_a_foreign_checkpoint_does_not_state_must_be_given(ros_domain, checkpoint, tmp_path, capfd):
    foreign = shutil.copytree(checkpoint, tmp_path / "foreign")
    (foreign / "dit_policy_ros.json").unlink()  # as lerobot-train writes it
    text = configure_error(capfd, foreign)
    assert "2 problems" in text and "assume_joints: expected" in text and "assume_fps: expected" in text
    text = configure_error(capfd, foreign, assume_fps=15.0, assume_joints=list(JOINTS))
    assert "fps: expected 30 Hz as in the contract, got 15 Hz in the checkpoint" in text
    text = configure_error(capfd, foreign, assume_fps=30.0, assume_joints=[*JOINTS[1:], "waist"])
    assert "no joint is called 'waist'" in text
    with running(foreign, activate=False, assume_fps=30.0, assume_joints=list(JOINTS)) as watch:
        policy = watch.policy
        assert policy.fps == 30.0 and policy.joint_names == JOINTS


def test_activation_lists_everything_that_is_wrong(ros_domain, checkpoint, capfd):
    with running(checkpoint, activate=False, stream_timeout=0.3) as watch:
        watch.robot.camera_on = False
        watch.robot.positions["right_joint_1"] = 2.5
        watch.robot.disconnect("right_gripper_controller")
        wait_for(
            lambda: watch.node.state.configured.sensors.observations.joints.newest_stamp_ns,
            5.0,
            "joint states arrive",
        )
        wait_for(lambda: watch.node.state.configured.sensors.measured()[2] == 2.5, 5.0, "the pose arrives")
        wait_for(
            lambda: watch.node.state.configured.sensors.observations.stale(now_ns(watch.node)),
            5.0,
            "the camera is stale",
        )
        watch.node.trigger_activate()
        assert state(watch.node) == "inactive"
        assert not watch.robot.received
    text = capfd.readouterr().err
    for part in ("top", "right_joint_1 is at 2.5", "right_gripper_controller/joint_trajectory"):
        assert part in text, text


@pytest.mark.slow
def test_a_compressed_camera_with_latency_works(ros_domain, checkpoint):
    robot = SmallRobot(compressed=True)
    camera = {"cameras__top__topic": "top/image_raw/compressed", "cameras__top__compressed": True}
    overrides = parameters(checkpoint=str(checkpoint), cameras__top__latency=0.05, **camera)
    node = policy_node(overrides)
    watch = Watch(robot, node)
    with spinning_together(robot, node):
        node.trigger_configure()
        wait_for(lambda: node.trigger_activate() and state(node) == "active", 10.0, "activation")
        wait_for(lambda: watch.status.plans >= 5, 10.0, "plans")
        assert watch.status.observation_age >= 0.05


@pytest.mark.slow
def test_a_checkpoint_of_other_names_and_another_order_runs_by_the_contracts_mapping(ros_domain, tmp_path):
    names = tuple(f"{joint}.pos" for joint in JOINTS[::-1])
    checkpoint = tiny_checkpoint(tmp_path / "other", joints=names, camera="head.rgb")
    mapping = [f"{joint}.pos = {joint}" for joint in JOINTS]
    changes = {"dataset_names": mapping, "cameras__top__trained_as": "head.rgb"}
    with running(checkpoint, **changes) as watch:
        wait_for(lambda: watch.status.plans >= 5, 10.0, "plans")
        policy = watch.policy
        assert policy.joint_names == policy.action_names == JOINTS and list(policy.image_shapes) == ["top"]
        state, image = np.zeros((2, 4), np.float32), np.zeros((2, HEIGHT, WIDTH, 3), np.uint8)
        chunk = policy.predict({"top": image}, state, TASKS[0])  # (T, 4); the range of a gripper is 0 to 0.04
        assert np.abs(chunk[:, 1::2] - 0.02).max() < 0.1 < np.abs(chunk[:, ::2]).max()
        for plan in watch.plans():
            assert_executable(plan, LIMITS)


@pytest.mark.slow
def test_num_inference_steps_sets_the_steps(ros_domain, checkpoint):
    with running(checkpoint, activate=False, num_inference_steps=3) as watch:
        assert "3 steps" in watch.policy.description


@pytest.mark.slow
def test_activation_without_a_task_is_refused(ros_domain, checkpoint, capfd):
    with running(checkpoint, activate=False, task=None) as watch:
        watch.node.trigger_activate()
        assert state(watch.node) == "inactive"
    assert "no task" in capfd.readouterr().err


@pytest.mark.slow
def test_services_answer_in_every_state(ros_domain, checkpoint):
    with running(checkpoint, activate=False) as watch:
        watch.node.trigger_cleanup()
        assert "not configured" in watch.task(TASKS[0]).message
        assert not call(watch.robot, Trigger, "/policy/resume", Trigger.Request()).success
        assert call(watch.robot, SetBool, "/policy/e_stop", SetBool.Request(data=True)).success
        watch.node.trigger_configure()
        watch.node.trigger_activate()
        assert state(watch.node) == "inactive", "activation is refused while the e-stop is latched"


def test_a_joint_outside_its_limits_does_not_resume_until_it_was_moved_back(ros_domain, checkpoint):
    with running(checkpoint, unseen_state="limit") as watch:
        robot = watch.robot
        watch.node.state.configured.motion.hold("a test")
        watch.wait_hold("a test")
        robot.positions["left_joint_1"] = 1.9  # its limit is 1.5
        measured = watch.node.state.configured.sensors.measured
        wait_for(lambda: measured()[0] == 1.9, 5.0, "the pose arrives")
        words = "left_joint_1 is at 1.9, outside its limits [-1.5, 1.5]"
        wait_for(
            lambda: words in call(robot, Trigger, "/policy/resume", Trigger.Request()).message,
            5.0,
            "a refusal that says why",
        )
        assert watch.status.state == PolicyStatus.HOLD
        received = len(robot.received)
        robot.positions["left_joint_1"] = 1.515
        resume(robot)
        watch.wait_state(PolicyStatus.RUNNING)
        wait_for(lambda: len(robot.received) >= received + 12, 10.0, "plans")
        first = next(m for name, m in robot.received[received:] if name == "left_arm_controller")
        assert first.points[0].positions[0] == pytest.approx(1.515, abs=1e-6), "no step"


@pytest.mark.slow
def test_the_task_that_was_set_stays_through_cleanup_and_configure(ros_domain, checkpoint):
    with running(checkpoint, activate=False) as watch:
        node = watch.node
        assert node.state.task == TASKS[0], "the parameter's"
        assert watch.task(TASKS[1]).success
        for _ in range(2):
            node.trigger_cleanup()
            node.trigger_configure()
            assert state(node) == "inactive" and node.state.task == TASKS[1]
        wait_for(lambda: node.trigger_activate() and state(node) == "active", 10.0, "activation")
        wait_for(lambda: watch.status.task == TASKS[1], 5.0, "the status")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (["A", "A"], "B"),  # ~/set_task B comes after the first
        (["", ""], "B"),
        (["A", "C"], "C"),  # somebody changed the parameter since
        (["A", ""], "B"),
        (["A", "C", "C"], "C"),
    ],
)
def test_a_changed_parameter_replaces_the_task_that_was_set(ros_domain, parameters, expected):
    node = PolicyNode()
    try:
        node._take_task(parameters[0], ())
        node.state.task = "B"
        for parameter in parameters[1:]:
            node._take_task(parameter, ())
        assert node.state.task == expected
    finally:
        node.destroy_node()


def resources(node):
    """What must not leak: threads, open files, and the node's entities."""
    entities = (node.publishers, node.subscriptions, node.timers, node.services, node.clients, node.waitables)
    threads = [each.name for each in threading.enumerate() if not each.name.startswith("ThreadPoolExecutor")]
    return threads, len(os.listdir("/proc/self/fd")), [len(list(each)) for each in entities]


def resident():
    """Resident memory of this process [MB]."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1e6


@pytest.mark.slow  # whole lifecycles, one after the other
@pytest.mark.parametrize("cycles", [5, 100])
def test_repeated_lifecycles_leak_nothing(ros_domain, checkpoint, cycles):
    with running(checkpoint, activate=False) as watch:
        node, settled = watch.node, None
        for cycle in range(cycles):
            wait_for(lambda: node.trigger_activate() and state(node) == "active", 10.0, "activation")
            plans = node.state.configured.motion.pipeline
            wait_for(lambda p=plans: p.plans >= 1, 10.0, "a plan")
            node.trigger_deactivate()
            node.trigger_cleanup()
            assert state(node) == "unconfigured"
            if cycle == 2:
                settled = resources(node)
            if cycle == cycles // 2:
                memory = resident()
            node.trigger_configure()
            assert state(node) == "inactive"
        node.trigger_cleanup()
        wait_for(lambda: resources(node) == settled, 10.0, f"{settled}, not {resources(node)}")
        assert resident() - memory < 0.1 * cycles + 10.0, "memory must not grow by more than 0.2 MB a cycle"

# SPDX-License-Identifier: Apache-2.0
"""Whichever step of configure, activate or a constructor fails: nothing remains, and the next try works."""

import copy
import gc
import signal
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from contracts import SMALL_MAPPING, small_mapping
from failing_steps import Steps, stock
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.parameter import Parameter
from recording_session import parameter_file
from ros_testing import call, spinning
from small_robot import SmallRobot, parameters, policy_node, spinning_together
from small_robot import inference_node as make_inference_node
from teleoperated import TeleoperatedRobot
from waiting import wait_for

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.ros.common import GuardedLifecycleNode
from dit_policy_ros.ros.inference import inference_node

GRIPPER = "parallel_gripper_controller"
REASON = "Set action.source to leader, array or joint_state"


@pytest.fixture
def policies(monkeypatch, checkpoint) -> weakref.WeakSet:
    """The policies that exist. Each configure loads one; it is a copy, because loading takes long."""
    existing, loaded = weakref.WeakSet(), inference_node.load_policy(checkpoint, backend="eager")

    def load(*_, **__):
        policy = copy.copy(loaded)
        existing.add(policy)
        return policy

    monkeypatch.setattr(inference_node, "load_policy", load)
    return existing


def error_of(number: int) -> Exception:
    """A user's mistake and a bug, in turns."""
    text = f"step {number} fails"
    return DitPolicyError(text) if number % 2 else RuntimeError(text)


def fail_at_each_step(
    node: GuardedLifecycleNode, hook: str, attempt: Callable[[], Any], clean: Callable[[], Any]
) -> list[str]:
    """Let each step of a hook fail; call `clean` after each and after a good run. Returns the steps."""
    original = getattr(node, hook)

    def run(steps: Steps) -> Any:
        setattr(node, hook, steps.watch(original))
        return attempt()

    run(Steps())  # what is made once and kept, like an imported module
    clean()
    good = Steps()
    assert run(good).name == "SUCCESS"
    clean()
    refused = 0
    for number in range(len(good.names)):
        steps = Steps(number, error_of(number))
        refused += run(steps).name != "SUCCESS"
        steps.error = None  # its traceback refers to everything that the call had made
        assert steps.names == good.names[: number + 1], "the steps are the same each time"
        clean()
        if number % 12 == 0:
            assert run(Steps()).name == "SUCCESS", steps.names[-1]
            clean()
    assert refused >= 0.9 * len(good.names), "nearly every step is needed"
    return good.names


def configure_at_each_step(node: GuardedLifecycleNode, folder: Path, policies: Any = ()) -> list[str]:
    """Checks that configure and cleanup leave nothing, whatever step fails. Returns the steps."""
    before: dict[str, Any] = {}

    def clean() -> None:
        if node.lifecycle_state == "inactive":
            assert node.trigger_cleanup().name == "SUCCESS"
        assert node.lifecycle_state == "unconfigured"
        if not before:
            before.update(stock(node, folder))
        threads_end(before["threads"])
        wait_for(lambda: stock(node, folder) == before, 5.0, "the same as before")
        gc.collect()  # a policy refers to itself, so only the collector frees it
        assert not len(policies), "no policy remains"

    clean()
    return fail_at_each_step(node, "configure", node.trigger_configure, clean)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.slow),  # each configures the policy node some thirty times
        pytest.param({"dry_run": True}, marks=pytest.mark.slow),
        pytest.param(
            {f"controllers__{arm}_gripper_controller__type": GRIPPER for arm in ("left", "right")},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["arms", "shadow mode", "parallel grippers"],
)
def test_policy_configure(ros_domain, checkpoint, policies, tmp_path, changes) -> None:
    node = policy_node(
        parameters(checkpoint=str(checkpoint), incident_directory=str(tmp_path), warm_up_chunks=3, **changes)
    )
    # It watches the inference node from the first configure to the node's end.
    node._inference.supervisor(node.get_parameter("inference").value)
    with spinning_together(node):
        steps = configure_at_each_step(node, tmp_path, policies)
    for part in (
        "SensorStreams.__init__",
        "InferenceLink.__init__",
        "MotionGate.__init__",
        "IncidentWriter.__init__",
        "Thread.start",
    ):
        assert part in steps
    assert ("GripperClient.__init__" in steps) == (GRIPPER in changes.values())
    assert ("ShadowError.__init__" in steps) == ("dry_run" in changes)


@pytest.mark.slow  # it configures the node some twenty times
def test_inference_configure(ros_domain, checkpoint, policies, tmp_path) -> None:
    node = make_inference_node(parameters(checkpoint=str(checkpoint), warm_up_chunks=3))
    try:
        steps = configure_at_each_step(node, tmp_path, policies)
    finally:
        node.destroy_node()
    assert "SensorStreams.__init__" in steps and "checkpoint_hash" in steps


@pytest.mark.parametrize(
    "settings",
    [{}, {"action.source": "leader", "action.topic": "leader", "joy.topic": "joy", "joy.start": 0}],
    ids=["commands", "leader and buttons"],
)
@pytest.mark.slow  # it configures the recorder some twenty times
def test_recorder_configure(make_node, tmp_path, settings) -> None:
    pytest.importorskip("lerobot", reason="lerobot is not installed")
    node = make_node(**settings)
    try:
        steps = configure_at_each_step(node, tmp_path)
    finally:
        node.destroy_node()
    for part in ("DatasetLock.__init__", "EpisodeWriter.__init__", "RecorderStreams.__init__"):
        assert part in steps
    assert ("Buttons.__init__" in steps) == ("joy.topic" in settings)


@pytest.mark.slow  # it configures the policy node some twenty times
def test_policy_activate(ros_domain, checkpoint, policies, tmp_path) -> None:
    """After a user's mistake the node is inactive; after a bug it is unconfigured. Nothing moves in both."""
    robot = SmallRobot()
    node = policy_node(
        parameters(checkpoint=str(checkpoint), incident_directory=str(tmp_path), warm_up_chunks=3)
    )
    before: dict[str, Any] = {}

    def clean() -> None:
        if node.lifecycle_state == "active":
            assert node.trigger_deactivate().name == "SUCCESS"
        assert not node.is_working and node.state.active is None
        if node.lifecycle_state == "inactive":
            assert not node.state.configured.control_loop.is_running
            assert not node.state.configured.motion._is_open, "nothing more is sent to the controllers"
            assert node.trigger_cleanup().name == "SUCCESS"
        assert node.lifecycle_state == "unconfigured"
        if not before:
            before.update(stock(node, tmp_path))
        wait_for(lambda: "inference" not in thread_names(), 10.0, "the inference thread ends")
        assert stock(node, tmp_path)["entities"] == before["entities"]
        gc.collect()  # a policy refers to itself, so only the collector frees it
        assert not len(policies), "no policy remains"
        assert node.trigger_configure().name == "SUCCESS"

    def activate() -> Any:
        wait_for(lambda: not node.state.configured.sensors.faults(now_ns(node)), 10.0, "all streams are live")
        return node.trigger_activate()

    with spinning_together(robot, node):
        clean()
        steps = fail_at_each_step(node, "start", activate, clean)
    assert "ControlWatch.__init__" in steps


def thread_names() -> Counter[str]:
    """By name; without those of an executor, which makes them as it needs them."""
    names = (thread.name for thread in threading.enumerate())
    return Counter(name for name in names if not name.startswith("ThreadPoolExecutor"))


def threads_end(expected: Counter[str]) -> None:
    """Wait until no other threads are left."""
    try:
        wait_for(lambda: thread_names() == expected, 10.0, "threads end")
    except AssertionError as error:
        raise AssertionError(f"threads remain: {thread_names() - expected}") from error


def now_ns(node: Any) -> int:
    return node.get_clock().now().nanoseconds


def sim_node(**changes: Any) -> Any:
    from dit_policy_ros.ros.sim.sim_node import SimNode

    settings = {
        "cameras": ["top"],
        "image_width": 32,
        "image_height": 24,
        "allow_other_robot": True,
        **changes,
    }
    return SimNode(parameter_overrides=[Parameter(name, value=value) for name, value in settings.items()])


def teleop_node() -> Any:
    from dit_policy_ros.ros.sim.teleop_node import TeleopNode

    return TeleopNode()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(sim_node, marks=pytest.mark.slow),
        pytest.param(
            lambda: sim_node(gripper_type=GRIPPER, speed=2.0, waits_for="leader"), marks=pytest.mark.slow
        ),
        teleop_node,
    ],
    ids=["sim", "sim with grippers and clock", "teleop"],
)
def test_constructors_of_nodes_without_a_lifecycle(ros_domain, monkeypatch, make) -> None:
    node_class = type(first := make())
    for release in ("shut_down", "destroy_node"):
        getattr(first, release, lambda: None)()
    before, made = thread_names(), []
    set_up = node_class._set_up

    def build(steps: Steps) -> None:
        def watched(node: Any) -> None:
            made.append(node)
            bound = set_up.__get__(node)
            steps.watch(bound)()

        monkeypatch.setattr(node_class, "_set_up", watched)
        make()

    def assert_nothing_remains(node: Any) -> None:
        threads_end(before)
        kinds = ("publishers", "subscriptions", "clients", "services", "timers", "guards", "waitables")
        left = {kind: [str(each) for each in getattr(node, kind)] for kind in kinds}
        assert not any(left[kind] for kind in kinds[:-1]), left
        assert not [each for each in left["waitables"] if "Action" in each]

    good = Steps()
    build(good)
    made[-1].shut_down() if hasattr(made[-1], "shut_down") else None
    made[-1].destroy_node()
    assert_nothing_remains(made[-1])
    for number in range(len(good.names)):
        error = error_of(number)
        with pytest.raises(type(error), match=f"step {number} fails"):
            build(Steps(number, error))
        assert_nothing_remains(made.pop())


@pytest.mark.slow  # it starts two processes
def test_a_recorder_that_cannot_be_configured_can_be_tried_again_and_ended(
    ros_domain, start_process, tmp_path
) -> None:
    """A parallel gripper takes goals, which cannot be recorded: the default source of actions fails."""
    mapping = small_mapping(controllers=copy.deepcopy(SMALL_MAPPING["controllers"]))
    mapping["controllers"]["hand"]["type"] = GRIPPER
    file = parameter_file(tmp_path, mapping, dataset=str(tmp_path / "dataset"), min_free_space=0.0)
    child = start_process(
        "recorder", "dit_policy_ros.ros.recorder.recorder_node", "--ros-args", "--params-file", str(file)
    )
    robot = TeleoperatedRobot()
    with spinning(robot):
        for attempt in (1, 2):
            request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
            assert not call(robot, ChangeState, "/recorder/change_state", request, timeout=90.0).success
            wait_for(lambda count=attempt: child.output().count(REASON) == count, 20.0, "the reason")
    child.process.send_signal(signal.SIGINT)
    assert child.process.wait(30.0) == 0
    assert "is being written by" not in child.output()

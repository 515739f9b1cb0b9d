# SPDX-License-Identifier: Apache-2.0
"""What the launch files do with the lifecycle: bring the node up once, and let it end with the launch."""

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is on no package index; source ROS 2 to run this")
import rclpy
from launched import node_process
from lifecycle_msgs.msg import Transition, TransitionEvent
from lifecycle_msgs.srv import ChangeState, GetState
from ros_testing import call, spinning
from sensor_msgs.msg import JointState
from small_robot import TASKS, tiny_checkpoint
from trajectory_msgs.msg import JointTrajectory
from waiting import wait_for

from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos
from dit_policy_ros.sim.robot import CONTROLLERS, HOME, JOINTS

UP_WITHIN = 120.0  # [s]


class Observer:
    """Follows one policy node's status and transitions, and changes its lifecycle state."""

    def __init__(self, name: str = "/policy") -> None:
        self.node = rclpy.create_node("observer")
        self.statuses: list[PolicyStatus] = []
        self.transitions: list[str] = []
        self._name = name
        self.node.create_subscription(PolicyStatus, f"{name}/status", self.statuses.append, qos.STATUS)
        self.node.create_subscription(
            TransitionEvent,
            f"{name}/transition_event",
            lambda event: self.transitions.append(event.goal_state.label),
            10,
        )

    def change(self, transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return call(self.node, ChangeState, f"{self._name}/change_state", request, 60.0).success

    def state(self) -> str:
        answer = call(self.node, GetState, f"{self._name}/get_state", GetState.Request())
        return answer.current_state.label

    def is_running(self) -> bool:
        return bool(self.statuses) and self.statuses[-1].plans >= 3

    def configures_and_stays_inactive(self) -> bool:
        """Whether the node stays inactive for two seconds (of its status) after it was configured by hand."""
        before = len(self.transitions)
        assert self.change(Transition.TRANSITION_CONFIGURE)
        seen = len(self.statuses)
        wait_for(lambda: len(self.statuses) > seen + 20, 30.0, "more status messages")
        return self.state() == "inactive" and self.transitions[before:] == ["configuring", "inactive"]


@pytest.fixture
def checkpoint(tmp_path):
    return tiny_checkpoint(tmp_path / "checkpoint", joints=JOINTS, around=HOME)


def test_autostart_moves_the_arms_once_and_never_after_a_configure_by_hand(ros_domain, launch, checkpoint):
    launch("bimanual.launch.py", f"checkpoint:={checkpoint}", f"task:={TASKS[0]}", "device:=cpu")
    observer = Observer()
    with spinning(observer.node):
        wait_for(observer.is_running, UP_WITHIN, "the policy runs")
        assert observer.change(Transition.TRANSITION_DEACTIVATE)
        assert observer.change(Transition.TRANSITION_CLEANUP)
        assert observer.configures_and_stays_inactive()
        assert observer.change(Transition.TRANSITION_ACTIVATE)


def test_after_a_failed_configure_everything_is_done_by_hand(ros_domain, launch, tmp_path):
    folder = tmp_path / "later"
    child = launch("bimanual.launch.py", f"checkpoint:={folder}", f"task:={TASKS[0]}", "device:=cpu")
    observer = Observer()
    with spinning(observer.node):
        wait_for(lambda: "could not configure" in child.output(), UP_WITHIN, "the failure is reported")
        tiny_checkpoint(folder, joints=JOINTS, around=HOME)
        assert observer.configures_and_stays_inactive()


@pytest.mark.parametrize("file", ["bimanual.launch.py", "record.launch.py"])
def test_a_node_ends_in_order_when_its_launch_is_killed(ros_domain, launch, checkpoint, tmp_path, file):
    """The launch can do nothing any more, and the node's output goes nowhere: its transitions tell."""
    is_policy = file == "bimanual.launch.py"
    own = (f"checkpoint:={checkpoint}", f"task:={TASKS[0]}", "device:=cpu")
    child = launch(file, *(own if is_policy else (f"dataset:={tmp_path / 'dataset'}",)))
    observer = Observer("/policy" if is_policy else "/recorder")
    with spinning(observer.node):
        wait_for(lambda: "active" in observer.transitions, UP_WITHIN, "the node is active")
        nodes = [node_process(child, "policy_node" if is_policy else "recorder_node")]
        nodes.append(node_process(child, "sim_node"))
        assert all(nodes)
        child.process.kill()
        wait_for(lambda: "deactivating" in observer.transitions, 5.0, "the node stops")
        wait_for(lambda: not any(node.exists() for node in nodes), 20.0, "no node is left")
    assert observer.transitions[-1] == "finalized"


def test_a_policy_is_not_activated_where_the_simulator_finds_another_robot(ros_domain, launch, checkpoint):
    """The policy itself cannot know that these joint states and controllers are not the simulator's."""
    robot = rclpy.create_node("real_robot")
    joint_states = robot.create_publisher(JointState, "joint_states", 10)
    commands: list[JointTrajectory] = []
    for name in CONTROLLERS:
        robot.create_subscription(JointTrajectory, f"{name}/joint_trajectory", commands.append, 10)

    def publish() -> None:
        message = JointState(name=list(JOINTS), position=HOME.tolist())
        message.header.stamp = robot.get_clock().now().to_msg()
        joint_states.publish(message)

    robot.create_timer(0.01, publish)
    observer = Observer()
    with spinning(robot), spinning(observer.node):
        child = launch("bimanual.launch.py", f"checkpoint:={checkpoint}", f"task:={TASKS[0]}", "device:=cpu")
        wait_for(lambda: not child.alive, UP_WITHIN, "the launch ends")
    assert "another robot is here: /real_robot publishes /joint_states" in child.output()
    assert "process[sim_node-1] was required" in child.output()
    assert "activating" not in observer.transitions
    assert commands == []

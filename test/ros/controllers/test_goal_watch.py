# SPDX-License-Identifier: Apache-2.0
"""A goal that somebody sends to a trajectory controller's action holds the arms."""

import uuid

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("control_msgs.msg", reason="control_msgs has no messages here: run make setup")
from action_msgs.msg import GoalInfo, GoalStatus, GoalStatusArray
from controlled_robot import ControlledRobot, robot_parameters
from policy_watch import Watch
from rclpy.qos import qos_profile_action_status_default
from ros_testing import resume
from small_robot import policy_node, spinning_together
from unique_identifier_msgs.msg import UUID
from waiting import wait_for

from dit_policy_ros.msg import PolicyStatus

LEFT = "left_arm_controller"


class ActionServer:
    """Publishes the status of goals as the action server of a controller does."""

    def __init__(self, node) -> None:
        topic = f"/{LEFT}/follow_joint_trajectory/_action/status"
        self._publisher = node.create_publisher(GoalStatusArray, topic, qos_profile_action_status_default)

    def accept(self) -> None:
        self._goal = GoalInfo(goal_id=UUID(uuid=list(uuid.uuid4().bytes)))
        self._publish(GoalStatus.STATUS_EXECUTING)

    def accept_and_succeed(self) -> None:
        """A short goal, of which a slow subscriber gets the last status only."""
        self._goal = GoalInfo(goal_id=UUID(uuid=list(uuid.uuid4().bytes)))
        self.succeed()

    def succeed(self) -> None:
        self._publish(GoalStatus.STATUS_SUCCEEDED)

    def _publish(self, status: int) -> None:
        self._publisher.publish(
            GoalStatusArray(status_list=[GoalStatus(goal_info=self._goal, status=status)])
        )


def test_a_goal_for_one_arm_holds_both_until_an_operator_resumes(ros_domain, checkpoint):
    robot = ControlledRobot()
    server = ActionServer(robot)
    node = policy_node(robot_parameters(checkpoint=str(checkpoint)))
    with spinning_together(robot, node):
        assert node.trigger_configure().name == "SUCCESS"
        watch = Watch(robot, node)
        wait_for(lambda: node.trigger_activate() and node.state.active is not None, 15.0, "activation")
        watch.wait_state(PolicyStatus.RUNNING)
        server.accept()
        watch.wait_hold(f"another commander: {LEFT} was sent another node's goal")
        assert "/follow_joint_trajectory" in watch.status.hold_reason
        assert not watch.status.hold_recoverable
        # The controller executes our plans again, although the goal stays active until these end.
        resume(robot)
        watch.wait_state(PolicyStatus.RUNNING)
        server.accept()
        watch.wait_hold("another commander")
        resume(robot)
        watch.wait_state(PolicyStatus.RUNNING)
        server.accept_and_succeed()
        watch.wait_hold("another commander")


@pytest.mark.slow
def test_goals_that_ended_before_activation_are_nobody_s_fault(ros_domain, checkpoint):
    robot = ControlledRobot()
    server = ActionServer(robot)
    server.accept_and_succeed()
    node = policy_node(robot_parameters(checkpoint=str(checkpoint)))
    with spinning_together(robot, node):
        assert node.trigger_configure().name == "SUCCESS"
        goals = node.state.configured.controllers.goals
        wait_for(lambda: LEFT in goals._listed, 10.0, "the status is heard")
        assert not goals.others() and not goals.active()


def test_a_running_goal_prevents_activation(ros_domain, checkpoint, capfd):
    robot = ControlledRobot()
    server = ActionServer(robot)
    server.accept()
    node = policy_node(robot_parameters(checkpoint=str(checkpoint)))
    with spinning_together(robot, node):
        assert node.trigger_configure().name == "SUCCESS"
        goals = node.state.configured.controllers.goals
        wait_for(goals.active, 15.0, "the goal's status arrives, although it was sent before")
        node.trigger_activate()
        assert node.state.active is None
        assert f"{LEFT} has another node's goal" in capfd.readouterr().err
        server.succeed()
        wait_for(lambda: not goals.active(), 15.0, "the goal ends")
        wait_for(lambda: node.trigger_activate() and node.state.active is not None, 15.0, "activation")

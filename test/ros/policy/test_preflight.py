# SPDX-License-Identifier: Apache-2.0
"""Activation checks the controllers, the clocks and the ROS graph, and lists everything that is wrong."""

import contextlib

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from rclpy.node import Node
from rclpy.parameter import Parameter
from small_robot import SmallRobot, parameters, policy_node, spinning_together
from trajectory_msgs.msg import JointTrajectory
from waiting import wait_for


class Controller(Node):
    """The parameter services of a joint_trajectory_controller."""

    def __init__(self, name, **settings):
        super().__init__(name)
        self.declare_parameter("joints", [name.removesuffix("_controller").replace("_arm", "_joint_1")])
        for key, value in ({"interpolation_method": "splines"} | settings).items():
            self.declare_parameter(key.replace("__", "."), value)


@contextlib.contextmanager
def configured(checkpoint, *others, robot_class=SmallRobot, **changes):
    robot = robot_class()
    node = policy_node(parameters(checkpoint=str(checkpoint), **changes))
    with spinning_together(robot, node, *others):
        node.trigger_configure()
        yield node


def refusal(node, capfd):
    node.trigger_activate()
    assert node.state.active is None
    return capfd.readouterr().err


def test_controllers_with_good_settings_pass(ros_domain, checkpoint):
    controller = Controller("left_arm_controller")
    with configured(checkpoint, controller) as node:
        reader = node.state.configured.controllers.parameters
        wait_for(lambda: "left_arm_controller" in reader.read(1.0), 10.0, "the controller answers")
        wait_for(lambda: node.trigger_activate() and node.state.active is not None, 10.0, "activation")


def test_every_wrong_setting_of_every_controller_is_listed_with_its_remedy(ros_domain, checkpoint, capfd):
    left = Controller("left_arm_controller", interpolation_method="none", constraints__goal_time=0.5)
    right = Controller("right_arm_controller", interpolation_method="none")
    with configured(checkpoint, left, right) as node:
        reader = node.state.configured.controllers.parameters
        wait_for(lambda: len(reader.read(1.0)) == 2, 10.0, "both controllers answer")
        text = refusal(node, capfd)
    for name in ("left_arm_controller", "right_arm_controller"):
        assert f"under {name}: ros__parameters, set interpolation_method: splines" in text
    assert "set constraints.goal_time: 0.0" in text
    assert "right_gripper_controller does not answer parameter requests" in text


def test_another_node_that_commands_an_arm_is_named(ros_domain, checkpoint, capfd):
    teleop = Node("teleop", namespace="/operator")
    teleop.create_publisher(JointTrajectory, "/left_arm_controller/joint_trajectory", 1)
    with configured(checkpoint, teleop) as node:
        topic = node.state.configured.controllers.topics()["left_arm_controller"]
        wait_for(lambda: len(node.get_publishers_info_by_topic(topic)) == 2, 10.0, "both are discovered")
        text = refusal(node, capfd)
    assert "/operator/teleop also commands left_arm_controller" in text


class LateRobot(SmallRobot):
    """Its clock is behind ours, but not by enough to make its streams stale."""

    def get_clock(self):
        return _Behind(super().get_clock())


class _Behind:
    def __init__(self, clock):
        self._clock = clock

    def now(self):
        from rclpy.duration import Duration

        return self._clock.now() - Duration(seconds=0.3)


def test_clocks_that_differ_are_reported_with_the_difference(ros_domain, checkpoint, capfd):
    with configured(checkpoint, robot_class=LateRobot, stream_timeout=0.5) as node:
        joints = node.state.configured.sensors.observations.joints
        wait_for(lambda: joints.counters.accepted > 10, 10.0, "joint states")
        text = refusal(node, capfd)
    assert "joint_states's clock is 0.3" in text and "behind ours" in text and "chrony" in text


def test_simulated_time_without_clock_messages_is_reported(ros_domain, checkpoint, capfd):
    with configured(checkpoint, use_sim_time=True, stream_timeout=0.1) as node:
        text = refusal(node, capfd)
    assert "not safe to start:\n  - use_sim_time is true, but nothing comes on /clock" in text
    assert "stamp" not in text, "without a time every stream looks wrong"


def test_simulated_time_cannot_be_switched_while_the_arms_move(ros_domain, checkpoint):
    with configured(checkpoint) as node:
        wait_for(lambda: node.trigger_activate() and node.state.active is not None, 10.0, "activation")
        (answer,) = node.set_parameters([Parameter("use_sim_time", value=True)])
        assert not answer.successful
        assert "`ros2 lifecycle set /policy deactivate`" in answer.reason
        assert node.get_clock().now().nanoseconds > 0, "the clock is as before"
        assert not node.get_clock().ros_time_is_active

# SPDX-License-Identifier: Apache-2.0
"""Who only looks at the controllers is no commander, and sees every other one."""

import pytest

rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed")

from contracts import SMALL_CONTRACT  # noqa: E402
from ros_testing import spinning  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402
from waiting import wait_for  # noqa: E402

from dit_policy_ros.ros.controllers import ListeningControllers  # noqa: E402

TOPIC = "/arm/joint_trajectory"


def test_it_publishes_nothing_and_sees_commanders_and_listeners(ros_domain):
    node, robot, other = (rclpy.create_node(name) for name in ("looking", "robot", "teleop"))
    with spinning(node, robot, other):
        controllers = ListeningControllers(node, SMALL_CONTRACT)
        assert node.count_publishers(TOPIC) == 0
        assert "does not listen" in controllers.unreachable()["arm"]
        assert controllers.commanders.look() == []
        robot.create_subscription(JointTrajectory, TOPIC, lambda _: None, 1)
        wait_for(lambda: "arm" not in controllers.unreachable(), 10.0, "the controller listens")
        other.create_publisher(JointTrajectory, TOPIC, 1)
        wait_for(controllers.commanders.look, 10.0, "the commander is seen")
        (line,) = controllers.commanders.look()
        assert line.startswith("/teleop also commands arm")

# SPDX-License-Identifier: Apache-2.0
"""A teleoperation that publishes trajectories for each arm takes over from the policy node."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from policy_watch import running
from ros_testing import call, resume
from small_robot import JOINTS
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from waiting import wait_for

from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import qos
from dit_policy_ros.srv import TakeOver

pytestmark = pytest.mark.slow  # a whole policy node in real time
TOPICS = {"/teleop/left": JOINTS[:2], "/teleop/right": JOINTS[2:]}


class Teleoperation:
    """Commands each arm on its topic to stay, and its first joint to move as `target` says."""

    def __init__(self, node):
        self.target, self.silent = 0.0, set()
        self._publishers = {
            topic: node.create_publisher(JointTrajectory, topic, qos.COMMANDS) for topic in TOPICS
        }
        node.create_timer(0.02, self._publish)

    def _publish(self):
        for topic, publisher in self._publishers.items():
            if topic in self.silent:
                continue
            names = list(TOPICS[topic])
            point = JointTrajectoryPoint(positions=[self.target, 0.01])
            point.time_from_start.nanosec = 50_000_000
            publisher.publish(JointTrajectory(joint_names=names, points=[point]))


def test_trajectories_for_each_arm_drive_it_and_one_that_stops_holds(ros_domain, checkpoint):
    settings = {
        "takeover__source": "trajectory",
        "takeover__topics": list(TOPICS),
        "takeover__timeout": 2.0,
        # A busy computer is no fault here.
        "cameras__top__max_age": 5.0,
        "joint_states__max_age": 5.0,
        "link_timeout": 5.0,
    }
    with running(checkpoint, **settings) as watch:
        teleoperation = Teleoperation(watch.robot)

        def is_led():
            if watch.status.state == PolicyStatus.INTERVENTION:
                return True
            call(watch.robot, TakeOver, "/policy/take_over", TakeOver.Request())
            return False

        wait_for(is_led, 30.0, "the teleoperation drives", interval=0.1)
        assert watch.status.human_joints == list(JOINTS)

        def last(controller):
            return watch.robot.of(controller)[-1].points[-1].positions[0]

        began = last("left_arm_controller")
        teleoperation.target = 0.3  # clutch: so much further than where the arms were

        def has_followed():
            is_led()
            return abs(last("left_arm_controller") - began) > 0.1

        wait_for(has_followed, 60.0, "the arm makes the commanded motion", interval=0.1)
        wait_for(is_led, 30.0, "the teleoperation drives", interval=0.1)
        teleoperation.silent.add("/teleop/right")
        watch.wait_hold("the leader is silent")
        assert "right_joint_1" in watch.status.hold_reason and not watch.status.hold_recoverable
        teleoperation.silent.clear()
        resume(watch.robot, 20.0)

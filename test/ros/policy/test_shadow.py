# SPDX-License-Identifier: Apache-2.0
"""Shadow mode: the policy plans, nothing moves, and the difference to the operator is published."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from builtin_interfaces.msg import Duration
from policy_watch import running, state
from sensor_msgs.msg import JointState
from small_robot import CONTROLLERS, JOINTS
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from waiting import wait_for

from dit_policy_ros.ros.common import qos


def test_plans_are_published_on_shadow_topics_only(ros_domain, checkpoint):
    with running(checkpoint, activate=False, dry_run=True) as watch:
        for name in CONTROLLERS:
            watch.robot.disconnect(name)  # shadow mode must work without controllers
        shadows, commands = [], []
        for name in CONTROLLERS:
            topic = f"{name}/joint_trajectory"
            watch.robot.create_subscription(
                JointTrajectory, f"/policy/shadow/{topic}", shadows.append, qos.COMMANDS
            )
        watch.node.trigger_activate()
        assert state(watch.node) == "active", "no controller is needed"
        wait_for(lambda: watch.status.plans >= 5 and len(shadows) >= 16, 10.0, "plans on the shadow topics")
        for name in CONTROLLERS:
            watch.robot.create_subscription(
                JointTrajectory, f"/{name}/joint_trajectory", commands.append, qos.COMMANDS
            )
        wait_for(
            lambda: all(watch.node.count_subscribers(f"/{name}/joint_trajectory") for name in CONTROLLERS),
            5.0,
            "commands to the robot would be received",
        )
        plans = watch.status.plans
        wait_for(lambda: watch.status.plans >= plans + 3, 10.0, "plans go on")
        assert all(watch.node.count_publishers(f"/{name}/joint_trajectory") == 0 for name in CONTROLLERS)
        assert watch.status.dry_run
        watch.node.trigger_deactivate()
    assert commands == []


@pytest.mark.slow
def test_the_difference_to_the_operator_is_published(ros_domain, checkpoint, monkeypatch):
    with running(checkpoint, activate=False, dry_run=True) as watch:
        errors: list[JointState] = []
        watch.robot.create_subscription(JointState, "/policy/shadow/error", errors.append, qos.STATUS)
        policy = watch.policy
        predict = policy.predict
        wanted = np.array([0.12, 0.02, -0.08, 0.02], np.float32)  # (A,)
        monkeypatch.setattr(policy, "predict", lambda *a, **k: np.zeros_like(predict(*a, **k)) + wanted)
        watch.node.trigger_activate()

        def settled(source, expected):
            newest = errors[-1] if errors else JointState()
            return newest.header.frame_id == source and np.allclose(newest.position, expected, atol=2e-3)

        at_rest = np.full(4, 0.02)  # where the small robot stands
        wait_for(lambda: settled("measured", wanted - at_rest), 10.0, "compared with the measured pose")
        assert errors[-1].name == list(JOINTS)
        commanded_positions = {joint: 0.1 * index for index, joint in enumerate(JOINTS)}
        publishers = {
            name: watch.robot.create_publisher(JointTrajectory, f"/{name}/joint_trajectory", qos.TRAJECTORIES)
            for name in CONTROLLERS
        }

        def command_all():
            for name, publisher in publishers.items():
                joint = CONTROLLERS[name]
                point = JointTrajectoryPoint(
                    positions=[commanded_positions[joint]], time_from_start=Duration(nanosec=1)
                )
                publisher.publish(JointTrajectory(joint_names=[joint], points=[point]))
            return settled("commanded", wanted - np.array(list(commanded_positions.values())))

        wait_for(command_all, 10.0, "compared with the operator's commands", interval=0.1)
        wait_for(lambda: watch.status.shadow_error > 0.05, 5.0, "the status has the RMS")

# SPDX-License-Identifier: Apache-2.0
"""LeRobot's robot with arms that are controlled by poses, against the simulator."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from lerobot.robots.utils import make_robot_from_config
from pose_world import PoseWorld, TargetWatch
from ros_testing import spinning
from waiting import wait_for

from dit_policy_ros.core.errors import StreamError
from lerobot_robot_dit_policy_ros import DitPolicyRosRobotConfig

pytestmark = pytest.mark.slow  # simulator and policy node in real time
LEFT = "left_ee.x.pos"


@pytest.fixture
def watch(ros_domain):
    node = TargetWatch()
    with spinning(node):
        yield node


def test_entries_of_poses_are_observed_and_followed_within_the_limits(watch, start_process, tmp_path):
    world = PoseWorld(watch, start_process, tmp_path)
    options = {
        "max_tracking_error_prismatic": 0.2, "max_tracking_error": 1.0, "frozen_after": 0.0,
        "link_timeout": 3.0, "plan_horizon": 0.9,
    }  # fmt: skip
    config = DitPolicyRosRobotConfig(
        contract=Path(world.file),
        calibration_dir=tmp_path,
        camera_names=["top"],
        silence=60.0,
        observation_wait=60.0,
        parameters=[f"{name}:={value}" for name, value in options.items()],
    )
    robot = make_robot_from_config(config)
    robot.connect()
    try:
        begin = robot.get_observation()
        action = {name: begin[name] for name in robot.action_features}
        action[LEFT] += 0.04

        def arrives() -> bool:
            sent = robot.send_action(action)
            assert sent == pytest.approx(action, abs=1e-6)
            return abs(robot.get_observation()[LEFT] - action[LEFT]) < 0.01

        wait_for(arrives, 120.0, "the pose is not followed", interval=1 / 30)
        turned = robot.get_observation()
        entries = [name for name in robot.action_features if "_ee.r" in name]
        assert np.abs([turned[name] - begin[name] for name in entries]).max() < 0.1, "it does not turn"
        with pytest.raises(StreamError, match="a command is no pose"):
            robot.send_action(action | dict.fromkeys(entries, 0.0))
        wait_for(lambda: "is no pose" in robot.robot.hold_reason, 60.0, "the arms do not hold")
    finally:
        robot.disconnect()
    assert watch.violations() == []

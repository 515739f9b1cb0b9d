# SPDX-License-Identifier: Apache-2.0
"""What robot:=mock starts beside the real controllers."""

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is on no package index; source ROS 2 to run this")
from dit_policy_ros.ros.launching._mock_robot import simulator_remappings
from dit_policy_ros.sim.robot import CONTROLLERS


def test_the_simulator_speaks_neither_for_the_joints_nor_for_the_controllers():
    remappings = dict(simulator_remappings())
    for topic in ("joint_states", *(f"{name}/controller_state" for name in CONTROLLERS)):
        assert remappings[topic] == f"sim/{topic}"

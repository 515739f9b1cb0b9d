# SPDX-License-Identifier: Apache-2.0
"""Models of ros2_control's controllers, which follow the rules of the real ones. No physics, no ROS."""

from dit_policy_ros.sim.controllers._contract_controllers import (
    Controlled,
    Controller,
    contract_controllers,
    with_own_joints,
)
from dit_policy_ros.sim.controllers._controller_settings import ControllerRelease, ControllerSettings
from dit_policy_ros.sim.controllers._gripper_controller import (
    MAX_VELOCITY,
    GoalEnd,
    ParallelGripperController,
)
from dit_policy_ros.sim.controllers._trajectory import Point, Trajectory
from dit_policy_ros.sim.controllers._trajectory_controller import TrajectoryController

__all__ = [
    "MAX_VELOCITY",
    "Controlled",
    "Controller",
    "ControllerRelease",
    "ControllerSettings",
    "GoalEnd",
    "ParallelGripperController",
    "Point",
    "Trajectory",
    "TrajectoryController",
    "contract_controllers",
    "with_own_joints",
]

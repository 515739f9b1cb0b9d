# SPDX-License-Identifier: Apache-2.0
"""The simulated robot: physics, cameras, controllers and kinematics. No ROS.

Its controllers follow the rules of ros2_control's own.
"""

from dit_policy_ros.sim.robot._appearance import Variation
from dit_policy_ros.sim.robot._controller_settings import ControllerRelease, ControllerSettings
from dit_policy_ros.sim.robot._cubes import CUBE_EDGE, CUBES, sample_cubes
from dit_policy_ros.sim.robot._gripper_controller import GoalEnd, ParallelGripperController
from dit_policy_ros.sim.robot._kinematics import ArmKinematics
from dit_policy_ros.sim.robot._real_time import RealTimeFactor, advance
from dit_policy_ros.sim.robot._renderer import Model, Renderer, focal_length
from dit_policy_ros.sim.robot._robot import (
    ARM_JOINTS,
    CAMERAS,
    CONTROLLERS,
    HOME,
    JOINTS,
    SIDES,
    STEP_NS,
    BimanualSim,
    arm_slice,
)
from dit_policy_ros.sim.robot._tracking import FPS, Tracker
from dit_policy_ros.sim.robot._trajectory import Point, Trajectory
from dit_policy_ros.sim.robot._trajectory_controller import TrajectoryController

__all__ = [
    "ARM_JOINTS",
    "CAMERAS",
    "CONTROLLERS",
    "CUBES",
    "CUBE_EDGE",
    "FPS",
    "HOME",
    "JOINTS",
    "SIDES",
    "STEP_NS",
    "ArmKinematics",
    "BimanualSim",
    "ControllerRelease",
    "ControllerSettings",
    "GoalEnd",
    "Model",
    "ParallelGripperController",
    "Point",
    "RealTimeFactor",
    "Renderer",
    "Tracker",
    "Trajectory",
    "TrajectoryController",
    "Variation",
    "advance",
    "arm_slice",
    "focal_length",
    "sample_cubes",
]

# SPDX-License-Identifier: Apache-2.0
"""The simulated robots: physics, cameras, and of the built-in one its kinematics. No ROS."""

from dit_policy_ros.sim.names import ARM_JOINTS, CAMERAS, CONTROLLERS, JOINTS, SIDES
from dit_policy_ros.sim.robot._appearance import Appearance, Variation
from dit_policy_ros.sim.robot._cubes import CUBE_EDGE, CUBES, sample_cubes
from dit_policy_ros.sim.robot._drive import Drive, LinearMap
from dit_policy_ros.sim.robot._kinematics import ArmKinematics
from dit_policy_ros.sim.robot._real_time import RealTimeFactor, advance
from dit_policy_ros.sim.robot._renderer import Model, Renderer, camera_id, focal_length
from dit_policy_ros.sim.robot._robot import (
    HOME,
    STEP_NS,
    BimanualSim,
    arm_slice,
    built_in_model,
)
from dit_policy_ros.sim.robot._simulated_robot import SimulatedRobot
from dit_policy_ros.sim.robot._tracking import FPS, Tracker

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
    "Appearance",
    "ArmKinematics",
    "BimanualSim",
    "Drive",
    "LinearMap",
    "Model",
    "RealTimeFactor",
    "Renderer",
    "SimulatedRobot",
    "Tracker",
    "Variation",
    "advance",
    "arm_slice",
    "built_in_model",
    "camera_id",
    "focal_length",
    "sample_cubes",
]

# SPDX-License-Identifier: Apache-2.0
"""Arms that are controlled by poses: inverse kinematics, and a model of the controller."""

from dit_policy_ros.sim.poses._arm_chain import ArmChain, find_chain, joint_contract
from dit_policy_ros.sim.poses._pose_controller import PoseController, pose_controllers

__all__ = ["ArmChain", "PoseController", "find_chain", "joint_contract", "pose_controllers"]

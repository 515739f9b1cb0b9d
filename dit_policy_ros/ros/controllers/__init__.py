# SPDX-License-Identifier: Apache-2.0
"""The ros2_control controllers as the policy node commands them.

Trajectory messages, their last check, gripper goals, and the controllers' parameters.
"""

from dit_policy_ros.ros.controllers._controller_interface import ControllerInterface
from dit_policy_ros.ros.controllers._gripper_action import parallel_gripper_command
from dit_policy_ros.ros.controllers._trajectory_messages import chunk_message

__all__ = ["ControllerInterface", "chunk_message", "parallel_gripper_command"]

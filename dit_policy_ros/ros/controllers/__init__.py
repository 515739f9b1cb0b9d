# SPDX-License-Identifier: Apache-2.0
"""The ros2_control controllers, as the policy node commands them.

Publishes trajectories, checks each of them first, sends gripper goals, reads the controllers' parameters, and
watches that the controllers follow, and follow nobody else.
"""

from dit_policy_ros.ros.controllers._controller_health import controller_health
from dit_policy_ros.ros.controllers._controller_interface import ControllerInterface
from dit_policy_ros.ros.controllers._controller_parameters import ControllerParameters
from dit_policy_ros.ros.controllers._controller_states import controller_state_type
from dit_policy_ros.ros.controllers._gripper_client import parallel_gripper_command
from dit_policy_ros.ros.controllers._holding import Holding
from dit_policy_ros.ros.controllers._listening import ListeningControllers
from dit_policy_ros.ros.controllers._trajectory_messages import chunk_message

__all__ = [
    "ControllerInterface",
    "ControllerParameters",
    "Holding",
    "ListeningControllers",
    "chunk_message",
    "controller_health",
    "controller_state_type",
    "parallel_gripper_command",
]

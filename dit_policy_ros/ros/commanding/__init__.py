# SPDX-License-Identifier: Apache-2.0
"""Single commands from another program, through a policy node with all its checks."""

from dit_policy_ros.ros.commanding._command_node import CommandNode
from dit_policy_ros.ros.commanding._command_reader import CommandReader, ReaderSettings
from dit_policy_ros.ros.commanding._guarded_robot import CommandSettings, GuardedRobot
from dit_policy_ros.ros.commanding._motion_process import MotionError, MotionProcess

__all__ = [
    "CommandNode",
    "CommandReader",
    "CommandSettings",
    "GuardedRobot",
    "MotionError",
    "MotionProcess",
    "ReaderSettings",
]

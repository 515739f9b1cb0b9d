# SPDX-License-Identifier: Apache-2.0
"""Trains one network on datasets of several robots, whose joints share named slots."""

from dit_policy_ros.training.unified._batches import UnifiedBatchMaker
from dit_policy_ros.training.unified._data import RobotData, options_for, read_robot
from dit_policy_ros.training.unified._plan import RobotPlan, plan_robots
from dit_policy_ros.training.unified._policy import unified_policy
from dit_policy_ros.training.unified._writing import UnifiedWriter

__all__ = [
    "RobotData",
    "RobotPlan",
    "UnifiedBatchMaker",
    "UnifiedWriter",
    "options_for",
    "plan_robots",
    "read_robot",
    "unified_policy",
]

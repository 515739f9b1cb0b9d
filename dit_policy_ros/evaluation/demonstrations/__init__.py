# SPDX-License-Identifier: Apache-2.0
"""Scripted demonstrations into a dataset, through ROS or in lock-step."""

from dit_policy_ros.evaluation.demonstrations._lockstep import lockstep_demonstrations
from dit_policy_ros.evaluation.demonstrations._options import LINGER, Demonstration, until_kept

__all__ = ["LINGER", "Demonstration", "lockstep_demonstrations", "until_kept"]

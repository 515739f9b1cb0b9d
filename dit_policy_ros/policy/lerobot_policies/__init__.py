# SPDX-License-Identifier: Apache-2.0
"""Policies that LeRobot trained, run by LeRobot's own code behind the ``Policy`` protocol.

The only package that imports LeRobot's policies and processors. ``load_policy`` imports it for a checkpoint
of such a type, and for no other, because that takes seconds.
"""

from dit_policy_ros.policy.lerobot_policies._loading import load_lerobot_policy
from dit_policy_ros.policy.lerobot_policies._options import LeRobotOptions
from dit_policy_ros.policy.lerobot_policies._policy import LeRobotPolicy

__all__ = ["LeRobotOptions", "LeRobotPolicy", "load_lerobot_policy"]

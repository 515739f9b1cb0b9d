# SPDX-License-Identifier: Apache-2.0
"""Code that the launch files share: arguments, the simulated or mock robot, lifecycle nodes."""

from dit_policy_ros.ros.launching._actions import config_file, lifecycle_node, robot, robot_arguments, value

__all__ = ["config_file", "lifecycle_node", "robot", "robot_arguments", "value"]

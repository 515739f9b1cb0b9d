# SPDX-License-Identifier: Apache-2.0
"""Code that the launch files share: arguments, the simulated or mock robot, lifecycle nodes."""

from dit_policy_ros.ros.launching._actions import (
    config_file,
    in_namespace,
    node_name_argument,
    robot,
    robot_arguments,
    value,
)
from dit_policy_ros.ros.launching._lifecycle_node import lifecycle_node

__all__ = [
    "config_file",
    "in_namespace",
    "lifecycle_node",
    "node_name_argument",
    "robot",
    "robot_arguments",
    "value",
]

# SPDX-License-Identifier: Apache-2.0
"""Code that the launch files share: arguments, the simulated or mock robot, lifecycle nodes."""

from dit_policy_ros.ros.launching._actions import (
    config_file,
    launch_description,
    node_name_argument,
    robot,
    value,
)
from dit_policy_ros.ros.launching._lifecycle_node import lifecycle_node, node_action

__all__ = [
    "config_file",
    "launch_description",
    "lifecycle_node",
    "node_action",
    "node_name_argument",
    "robot",
    "value",
]

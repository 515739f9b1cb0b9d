# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes: everything that needs rclpy."""

from dit_policy_ros.core import parent_process as parent_process  # first: it must be imported early

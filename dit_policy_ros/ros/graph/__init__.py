# SPDX-License-Identifier: Apache-2.0
"""Who else is in the ROS graph: names of nodes, and the identity of their endpoints."""

from dit_policy_ros.ros.graph._nodes import UNNAMED_NODE, endpoint_gid, full_name, node_names, node_of
from dit_policy_ros.ros.graph._own_endpoint import create_endpoint

__all__ = ["UNNAMED_NODE", "create_endpoint", "endpoint_gid", "full_name", "node_names", "node_of"]

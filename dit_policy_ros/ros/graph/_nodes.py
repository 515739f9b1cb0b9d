# SPDX-License-Identifier: Apache-2.0
"""Names of nodes and identity of endpoints, as the ROS graph tells them."""

from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo

UNNAMED_NODE = "a node whose name is not known"  # how messages call it
_UNKNOWN = "_NODE_NAME_UNKNOWN_"  # rmw's name for the node of an endpoint that was found before the node


def full_name(namespace: str, name: str) -> str:
    """A node's name with its namespace, for example /left_cell/policy."""
    return f"{namespace.rstrip('/')}/{name}"


def node_names(node: Node) -> set[str]:
    """Full names of all nodes that `node` sees, its own among them."""
    return {full_name(namespace, name) for name, namespace in node.get_node_names_and_namespaces()}


def node_of(endpoint: TopicEndpointInfo) -> str | None:
    """Full name of an endpoint's node; None until the node itself has been discovered."""
    if endpoint.node_name == _UNKNOWN:
        return None
    return full_name(endpoint.node_namespace, endpoint.node_name)


def endpoint_gid(endpoint: TopicEndpointInfo) -> bytes:
    """What tells endpoints apart, also those of two nodes of one name."""
    return bytes(endpoint.endpoint_gid)

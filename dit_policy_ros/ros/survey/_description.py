# SPDX-License-Identifier: Apache-2.0
"""Gets the robot's description (its URDF) from the topic, or from the parameter of robot_state_publisher."""

from typing import Any

from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

from dit_policy_ros.ros.survey._survey import topics_of, wait_until

_NAME = "robot_description"
_WITHIN = 3.0  # [s]
_PUBLISHER = "robot_state_publisher"


def read_description(node: Node) -> tuple[str, str]:
    """The URDF and where it came from; both empty if nobody has one. The node must be spinning."""
    for topic in topics_of(node, "std_msgs/msg/String"):
        if topic.endswith(f"/{_NAME}") and (text := _latched(node, topic)):
            return text, f"the topic {topic}"
    services = [name for name, _ in node.get_service_names_and_types()]
    suffix = f"{_PUBLISHER}/get_parameters"
    for service in sorted(name for name in services if name.endswith(suffix)):
        if text := _parameter(node, service):
            return text, f"the parameter {_NAME} of {service.removesuffix('/get_parameters')}"
    return "", ""


def _latched(node: Node, topic: str) -> str:
    received: list[str] = []
    profile = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    subscription = node.create_subscription(
        String, topic, lambda message: received.append(message.data), profile
    )
    try:
        wait_until(lambda: received, _WITHIN)
    finally:
        node.destroy_subscription(subscription)
    return received[-1] if received else ""


def _parameter(node: Node, service: str) -> str:
    client = node.create_client(GetParameters, service)
    try:
        if not client.wait_for_service(1.0):
            return ""
        future: Any = client.call_async(GetParameters.Request(names=[_NAME]))
        if not wait_until(future.done, _WITHIN) or not future.result().values:
            return ""
        return future.result().values[0].string_value
    finally:
        node.destroy_client(client)

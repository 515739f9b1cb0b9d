# SPDX-License-Identifier: Apache-2.0
"""Finds a robot, or another run, in a ROS domain before simulated nodes are started there."""

import os
import time
from collections.abc import Callable, Sequence

import yaml
from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo

from dit_policy_ros.core.share import share_directory
from dit_policy_ros.evaluation.session._session import SessionError
from dit_policy_ros.ros.graph import UNNAMED_NODE, node_names, node_of

_OUR_NODES = ("/policy", "/recorder", "/sim", "/teleop")
_JOIN_TIME = 4.0  # [s] until everybody in a domain is known; DDS announces itself every 3 s
_CLAIM_TIME = 0.3  # [s] the same in a claimed domain, where nobody is expected
_SHOWN = 12  # lines of a refusal


def refuse_occupied_domain(has_joined: bool) -> None:
    """Raises SessionError if a robot, or a node as a session starts them, is in this process's ROS domain.

    has_joined: whether others may be in the domain, so that they get time to appear.
    """
    node = Node(f"dit_policy_look_{os.getpid()}", use_global_arguments=False)
    try:
        time.sleep(
            _JOIN_TIME if has_joined else _CLAIM_TIME
        )  # to the end, for the names of all who are there
        found = occupants(node)
    finally:
        node.destroy_node()
    if not found:
        return
    lines = [*found[:_SHOWN], *([f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else [])]
    raise SessionError(
        f"ROS domain {os.environ['ROS_DOMAIN_ID']} is in use. Simulated nodes would command what is there, "
        "and their joint states and images would be taken for its own:\n  - "
        + "\n  - ".join(lines)
        + "\nLeave --domain out to get a domain that nobody uses, or end these nodes first. Start programs "
        "that only watch afterwards."
    )


def occupants(node: Node) -> list[str]:
    """What `node` sees of a robot like the simulated one, and of our own nodes; one line each."""
    contract = yaml.safe_load((share_directory() / "config" / "bimanual.yaml").read_text())["/**"][
        "ros__parameters"
    ]
    controllers = contract["controllers"]["names"]
    names = {*_OUR_NODES, *(f"/{name}" for name in controllers)}
    found = [f"the node {name} runs" for name in sorted(names & node_names(node))]
    exclusive = [contract["joint_states"]["topic"], *(f"{name}/joint_trajectory" for name in controllers)]
    images = [contract["cameras"][name]["topic"] for name in contract["cameras"]["names"]]
    for topic in (f"/{topic}" for topic in (*exclusive, *images)):
        found += _lines(topic, "publishes on", node.get_publishers_info_by_topic)
    for topic in (f"/{topic}" for topic in exclusive):
        found += _lines(topic, "listens to", node.get_subscriptions_info_by_topic)
    actions = {f"/{name}/gripper_cmd/_action/send_goal" for name in controllers}
    servers = {name for name, _ in node.get_service_names_and_types()}
    for action in sorted(actions & servers):
        found.append(f"a node serves {action.removesuffix('/_action/send_goal')}")
    return found


def _lines(topic: str, verb: str, endpoints: Callable[[str], Sequence[TopicEndpointInfo]]) -> list[str]:
    names = {node_of(each) or UNNAMED_NODE for each in endpoints(topic)}
    return [f"{name} {verb} {topic}" for name in sorted(names)]

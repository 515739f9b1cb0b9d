# SPDX-License-Identifier: Apache-2.0
"""What a contract can be made from: everything that a running robot shows."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rclpy.node import Node

from dit_policy_ros.core.contract import UrdfJoint, parse_urdf
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.ros.survey import (
    FoundController,
    StreamFacts,
    find_controllers,
    measure_streams,
    read_description,
    topics_of,
)

_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_JOINT_STATE = "sensor_msgs/msg/JointState"
_OURS = re.compile(r"/shadow/|/commanded$")  # topics of policy nodes


@dataclass(frozen=True, slots=True)
class RobotFacts:
    """What was found.

    Attributes:
        robot_name: of the URDF; empty without one.
        urdf: its joints, by name; empty without one.
        urdf_source: where the URDF came from.
        controllers: by the full name of their nodes.
        images: by topic; of a camera that has both, the raw topic alone.
        joint_states: by topic.
        notes: what could not be found, one line each.
    """

    robot_name: str = ""
    urdf: Mapping[str, UrdfJoint] = field(default_factory=dict)
    urdf_source: str = ""
    controllers: Mapping[str, FoundController] = field(default_factory=dict)
    images: Mapping[str, StreamFacts] = field(default_factory=dict)
    joint_states: Mapping[str, StreamFacts] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def look_at_robot(node: Node, seconds: float, report: Callable[[str], None] = lambda _: None) -> RobotFacts:
    """Look at the robot for so long [s]. The node must be spinning, and have had time to discover others.

    report: gets what is being done.
    """
    notes: list[str] = []
    report("the robot's description")
    text, source = read_description(node)
    urdf, name = {}, ""
    if text:
        try:
            urdf = parse_urdf(text, source)
            found = re.search(r"<robot[^>]*\bname=[\"']([^\"']+)", text)
            name = found[1] if found else ""
        except ContractError as error:
            notes.append(str(error))
    else:
        notes.append(
            "nobody publishes robot_description, and no robot_state_publisher has it: limits are not known"
        )
    report("controllers")
    controllers = find_controllers(node)
    raw = [topic for topic in topics_of(node, _IMAGE) if not _OURS.search(topic)]
    compressed = [
        topic for topic in topics_of(node, _COMPRESSED) if topic.removesuffix("/compressed") not in raw
    ]
    states = [topic for topic in topics_of(node, _JOINT_STATE) if not _OURS.search(topic)]
    report(f"{len(raw) + len(compressed)} image topics and {len(states)} of joint states, for {seconds:g} s")
    images = [(topic, False) for topic in raw] + [(topic, True) for topic in compressed]
    facts = measure_streams(node, images, states, seconds)
    notes += [f"nothing came on {topic}" for topic, each in facts.items() if each.newest is None]
    return RobotFacts(
        robot_name=name,
        urdf=urdf,
        urdf_source=source,
        controllers=controllers.controllers,
        images={topic: facts[topic] for topic, _ in images if facts[topic].newest is not None},
        joint_states={topic: facts[topic] for topic in states if facts[topic].newest is not None},
        notes=(*notes, *controllers.notes),
    )

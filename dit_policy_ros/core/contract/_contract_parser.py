# SPDX-License-Identifier: Apache-2.0
"""Parses the robot contract from a nested mapping and reports all mistakes at once."""

import re
from collections.abc import Mapping
from typing import Any

from dit_policy_ros.core.contract._contract import Camera, Contract, Controller, ControllerType
from dit_policy_ros.core.contract._limits_parser import parse_limits
from dit_policy_ros.core.contract._mapping_reader import MappingReader, is_topic
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.core.problems import Problems, listing

MIN_FPS, MAX_FPS = 1.0, 240.0  # [Hz]
MIN_IMAGE_SIDE, MAX_IMAGE_SIDE = 16, 8192  # [pixel]
MAX_AGE = 10.0  # [s] older data are never recent enough
MAX_LATENCY = 1.0  # [s] of a camera

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_JOINT = re.compile(r"[^.\s]+")  # a dot would start a nested group of parameters
_IDENTIFIER_EXPECTED = "different names of letters, digits and '_' that begin with a letter"
_JOINT_EXPECTED = "different joint names without spaces and dots"
_TOPIC_EXPECTED = "a ROS topic name such as '/top/image_raw'"
_RESERVED = "names"  # is a key of its own in the groups of cameras and controllers


def _is_identifier(text: str) -> bool:
    return _IDENTIFIER.fullmatch(text) is not None and text != _RESERVED


def _is_joint(text: str) -> bool:
    return _JOINT.fullmatch(text) is not None


def parse_contract(mapping: Mapping[str, Any], source: str) -> Contract:
    """Parse a robot contract strictly.

    Args:
        mapping: the nested parameters.
        source: the file or node that they come from, for messages.

    Raises:
        ContractError: lists all mistakes: unknown and missing keys, wrong types, NaN, values out of range,
            duplicate names, joints in no controller or in several, contradictory limits.
    """
    problems = Problems(source)
    root = MappingReader(mapping, "", problems)
    robot_type = root.text("robot_type", "a name for this kind of robot", lambda text: bool(text.strip()))
    fps = root.number(
        "fps", f"a number from {MIN_FPS:g} to {MAX_FPS:g} [Hz]", lambda value: MIN_FPS <= value <= MAX_FPS
    )
    joints = root.names("joints", _JOINT_EXPECTED, _is_joint)
    topic, max_age = "", 0.0
    joint_states = root.group("joint_states", "a group with topic and max_age")
    if joint_states is not None:
        topic = joint_states.text("topic", _TOPIC_EXPECTED, is_topic)
        max_age = _max_age(joint_states)
        joint_states.report_unknown_keys()
    cameras = _cameras(root, problems)
    controllers = _controllers(root, joints, problems)
    limits = parse_limits(root, joints, problems)
    root.report_unknown_keys()
    problems.raise_if_any(ContractError, "The robot contract is not valid")
    return Contract(
        robot_type=robot_type,
        fps=fps,
        joints=joints,
        controllers=controllers,
        cameras=cameras,
        joint_states_topic=topic,
        joint_states_max_age=max_age,
        limits=limits,
    )


def _max_age(reader: MappingReader) -> float:
    return reader.number(
        "max_age", f"a number above 0 and up to {MAX_AGE:g} [s]", lambda value: 0.0 < value <= MAX_AGE
    )


def _cameras(root: MappingReader, problems: Problems) -> tuple[Camera, ...]:
    group = root.group("cameras", "a group with names and one entry per camera")
    if group is None:
        return ()
    cameras = []
    for name in group.names("names", _IDENTIFIER_EXPECTED, _is_identifier):
        entry = group.group(
            name, "a group with topic, height, width, max_age and optionally latency and compressed"
        )
        if entry is None:
            continue
        camera = Camera(
            name=name,
            topic=entry.text("topic", _TOPIC_EXPECTED, is_topic),
            height=entry.integer("height", MIN_IMAGE_SIDE, MAX_IMAGE_SIDE, "pixel"),
            width=entry.integer("width", MIN_IMAGE_SIDE, MAX_IMAGE_SIDE, "pixel"),
            max_age=_max_age(entry),
            latency=entry.number(
                "latency",
                f"a number from -{MAX_LATENCY:g} to {MAX_LATENCY:g} [s]",
                lambda value: abs(value) <= MAX_LATENCY,
                default=0.0,
            ),
            compressed=entry.boolean("compressed", default=False),
        )
        entry.report_unknown_keys()
        for other in cameras:
            if camera.topic and camera.topic == other.topic:
                problems.add(
                    entry.key("topic"), "a topic of its own", f"'{camera.topic}', as for '{other.name}'"
                )
        cameras.append(camera)
    group.report_unknown_keys()
    return tuple(cameras)


def _controllers(root: MappingReader, joints: tuple[str, ...], problems: Problems) -> tuple[Controller, ...]:
    group = root.group("controllers", "a group with names and one entry per controller")
    if group is None:
        return ()
    valid_types = [kind.value for kind in ControllerType]
    owners: dict[str, str] = {}
    controllers = []
    for name in group.names("names", _IDENTIFIER_EXPECTED, _is_identifier):
        entry = group.group(name, "a group with type, joints and optionally gripper")
        if entry is None:
            continue
        kind = entry.text("type", f"one of: {listing(valid_types)}", lambda text: text in valid_types)
        owned = entry.names("joints", _JOINT_EXPECTED, _is_joint)
        single = kind == ControllerType.PARALLEL_GRIPPER
        gripper = entry.boolean("gripper", default=single)
        entry.report_unknown_keys()
        if single and (len(owned) > 1 or not gripper):
            problems.add(
                entry.key("joints"),
                f"the one joint of a gripper, because {kind} takes one position",
                f"{listing(owned)} with gripper: {str(gripper).lower()}",
            )
        for joint in owned:
            if joints and joint not in joints:
                problems.add_unknown(entry.key("joints"), joint, joints)
            elif joint in owners:
                problems.add(
                    entry.key("joints"),
                    "each joint in one controller",
                    f"'{joint}', also in '{owners[joint]}'",
                )
            owners.setdefault(joint, name)
        if kind:
            controllers.append(Controller(name, ControllerType(kind), owned, gripper))
    group.report_unknown_keys()
    for joint in joints:
        if joint not in owners:
            problems.add("controllers", f"one controller for joint '{joint}'", "none")
    return tuple(controllers)

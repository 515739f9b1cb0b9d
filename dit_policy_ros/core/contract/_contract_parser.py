# SPDX-License-Identifier: Apache-2.0
"""Parses the robot contract from a nested mapping and reports all mistakes at once."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dit_policy_ros.core.contract._contract import (
    Camera,
    Contract,
    Controller,
    ControllerType,
    JointStateTopic,
    Limits,
)
from dit_policy_ros.core.contract._controllers_parser import check_measured_poses, parse_controllers
from dit_policy_ros.core.contract._dataset_names import EXPECTED, parse_dataset_names
from dit_policy_ros.core.contract._limits_parser import parse_limits, parse_rest_pose
from dit_policy_ros.core.contract._mapping_reader import (
    IDENTIFIER_EXPECTED,
    JOINT_EXPECTED,
    MAX_LATENCY,
    MappingReader,
    is_identifier,
    is_joint,
    is_topic,
    read_latency,
)
from dit_policy_ros.core.contract._pose_parser import expanded, pose_arms
from dit_policy_ros.core.contract._robot_names import EXPECTED as ROBOT_NAMES
from dit_policy_ros.core.contract._robot_names import RobotName, parse_robot_names
from dit_policy_ros.core.contract._vectors_parser import parse_vectors
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.core.poses import ENTRIES
from dit_policy_ros.core.problems import Problems, show

MIN_FPS, MAX_FPS = 1.0, 240.0  # [Hz]
MIN_IMAGE_SIDE, MAX_IMAGE_SIDE = 16, 8192  # [pixel]
MAX_AGE = 10.0  # [s] older data are never recent enough

_SLOWEST = 0.1  # [Hz] of a camera or of joint states
_PREFIX = re.compile(r"[^\s]*")
_TOPIC_EXPECTED = "a ROS topic name such as '/top/image_raw'"


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
    joints = root.names("joints", JOINT_EXPECTED, is_joint)
    names = root.texts("robot_names", f"a list of {ROBOT_NAMES}")
    robot_names = parse_robot_names(names, joints, "robot_names", problems)
    topics, max_age, slowest = (), 0.0, 0.0
    joint_states = root.group("joint_states", "a group with topic (or topics) and max_age")
    if joint_states is not None:
        topics = _joint_state_topics(joint_states, problems)
        max_age = _max_age(joint_states)
        slowest = _rate(joint_states, max_age, problems)
        joint_states.report_unknown_keys()
    cameras = _cameras(root, problems)
    arms = [joint for joint in pose_arms(mapping) if joint in joints]
    measured = tuple(joint for joint in joints if joint not in arms)
    vectors = parse_vectors(root, measured, [camera.name for camera in cameras], _max_age, problems)
    robot = dict(zip(joints, robot_names, strict=True))
    _check_arm_names(arms, robot, problems)
    limits, poses = parse_limits(root, joints, robot, arms, problems)
    controllers = parse_controllers(root, joints, robot, poses, problems)
    check_measured_poses(controllers, topics, problems)
    rest_pose = parse_rest_pose(root, joints, limits, poses, problems)
    in_dataset, joints = expanded(joints, arms, ENTRIES), expanded(joints, arms)
    robot_names = tuple(robot.get(joint, RobotName(joint)) for joint in joints)
    _check_goals(controllers, joints, limits, problems)
    entries = root.texts("dataset_names", f"a list of {EXPECTED}")
    dataset_names = parse_dataset_names(entries, in_dataset, "dataset_names", problems)
    root.report_unknown_keys()
    problems.raise_if_any(ContractError, "The robot contract is not valid")
    return Contract(
        robot_type=robot_type,
        fps=fps,
        joints=joints,
        controllers=controllers,
        cameras=cameras,
        joint_states=topics,
        joint_states_max_age=max_age,
        limits=limits,
        dataset_names=dataset_names,
        vectors=vectors,
        rest_pose=rest_pose,
        robot_names=robot_names,
        joint_states_fps=slowest,
    )


def _check_arm_names(arms: Sequence[str], robot: Mapping[str, RobotName], problems: Problems) -> None:
    """An arm that is controlled by poses is in no joint states, so it has no name there."""
    for arm in arms:
        if robot[arm] != RobotName(arm):
            problems.add("robot_names", f"no entry for '{arm}', whose controller takes poses", "one")


def _check_goals(
    controllers: Sequence[Controller], joints: Sequence[str], limits: Limits, problems: Problems
) -> None:
    """A goal is sent when a share of the gripper's range has changed, so it needs a range."""
    if len(limits.position_min) < len(joints):
        return  # a mistake that is reported already
    for controller in controllers:
        for joint in controller.joints if controller.type is ControllerType.PARALLEL_GRIPPER else ():
            if joint in joints and limits.continuous[joints.index(joint)]:
                problems.add(
                    f"limits.{joint}.continuous", f"false, because {controller.name} takes goals", "true"
                )


def _joint_state_topics(reader: MappingReader, problems: Problems) -> tuple[JointStateTopic, ...]:
    """The topics of the joint states, each with its prefix."""
    if not reader.has("topics"):
        topic = reader.text("topic", f"{_TOPIC_EXPECTED.replace('/top/image_raw', 'joint_states')}", is_topic)
        if reader.has("prefixes"):
            problems.add(
                reader.key("prefixes"), "no prefixes beside 'topic'; they belong to 'topics'", "some"
            )
            reader.texts("prefixes", "")
        return (JointStateTopic(topic),)
    topics = reader.names("topics", "different ROS topic names such as '/left/joint_states'", is_topic)
    if reader.optional_text("topic", "none beside 'topics'"):
        problems.add(reader.key("topic"), "either 'topic' or 'topics'", "both")
    prefixes = reader.texts("prefixes", "a list of texts, as 'left_'")
    if any(_PREFIX.fullmatch(prefix) is None for prefix in prefixes):
        problems.add(reader.key("prefixes"), "texts without spaces, or empty ones", show(list(prefixes)))
    if prefixes and len(prefixes) != len(topics):
        problems.add(
            reader.key("prefixes"), f"one for each of the {len(topics)} topics", f"{len(prefixes)} of them"
        )
        prefixes = ()
    return tuple(map(JointStateTopic, topics, prefixes or [""] * len(topics)))


def _rate(reader: MappingReader, max_age: float, problems: Problems) -> float:
    """The key `fps` of a stream [Hz]; 0 without one."""
    expected = f"a number from {_SLOWEST:g} to {MAX_FPS:g} [Hz]"
    fps = reader.number("fps", expected, lambda value: _SLOWEST <= value <= MAX_FPS, default=0.0)
    if fps > 0.0 and max_age * fps <= 1.0:
        problems.add(
            reader.key("max_age"),
            f"a number above {1.0 / fps:.3g} [s], the time between two messages of {fps:g} Hz",
            f"{max_age:g}",
        )
    return fps


def _max_age(reader: MappingReader) -> float:
    return reader.number(
        "max_age", f"a number above 0 and up to {MAX_AGE:g} [s]", lambda value: 0.0 < value <= MAX_AGE
    )


def _depth_unit(reader: MappingReader, problems: Problems) -> str:
    """The unit of a depth camera's images; empty for a colour camera."""
    expected = "color, or depth for a camera whose images hold distances"
    kind = reader.text("kind", expected, {"color", "depth"}.__contains__) if reader.has("kind") else "color"
    if kind == "depth":
        expected = "mm for images of whole millimetres (16UC1), m for metres (32FC1)"
        return reader.text("depth_unit", expected, {"mm", "m"}.__contains__)
    if reader.optional_text("depth_unit", ""):
        problems.add(reader.key("depth_unit"), "none, but for a camera of 'kind: depth'", "one")
    return ""


def _cameras(root: MappingReader, problems: Problems) -> tuple[Camera, ...]:
    group = root.optional_group("cameras", "a group with names and one entry per camera")
    if group is None:
        return ()
    cameras = []
    for name in group.names("names", IDENTIFIER_EXPECTED, is_identifier, may_be_empty=True):
        entry = group.group(
            name,
            "a group with topic, height, width, max_age and optionally fps, latency, latency_uncertainty, "
            "compressed, trained_as, kind and depth_unit",
        )
        if entry is None:
            continue
        camera = Camera(
            name=name,
            topic=entry.text("topic", _TOPIC_EXPECTED, is_topic),
            height=entry.integer("height", MIN_IMAGE_SIDE, MAX_IMAGE_SIDE, "pixel"),
            width=entry.integer("width", MIN_IMAGE_SIDE, MAX_IMAGE_SIDE, "pixel"),
            max_age=(max_age := _max_age(entry)),
            fps=_rate(entry, max_age, problems),
            latency=read_latency(entry, -MAX_LATENCY),
            compressed=entry.boolean("compressed", default=False),
            trained_as=entry.optional_text("trained_as", "the camera's name in the training data"),
            latency_uncertainty=read_latency(entry, 0.0, "latency_uncertainty"),
            depth_unit=_depth_unit(entry, problems),
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

# SPDX-License-Identifier: Apache-2.0
"""Parses the contract's section `controllers`."""

from collections.abc import Mapping, Sequence

from dit_policy_ros.core.contract._contract import Controller, ControllerType, JointStateTopic
from dit_policy_ros.core.contract._mapping_reader import (
    IDENTIFIER_EXPECTED,
    JOINT_EXPECTED,
    MappingReader,
    is_identifier,
    is_joint,
    is_topic,
    read_latency,
)
from dit_policy_ros.core.contract._pose_parser import POSE_KEYS, PoseLimits, read_pose_arm
from dit_policy_ros.core.contract._robot_names import RobotName, parse_controller_names
from dit_policy_ros.core.problems import Problems, listing, show

_GROUP_EXPECTED = (
    "a group with type, joints and optionally gripper, latency, node, topic and joint_names; of poses with "
    "frame and optionally state_topic, end_effector and rate"
)


def parse_controllers(
    root: MappingReader,
    joints: tuple[str, ...],
    robot: Mapping[str, RobotName],
    arms: Mapping[str, PoseLimits],
    problems: Problems,
) -> tuple[Controller, ...]:
    """All controllers; reports mistakes to ``problems``.

    Args:
        root: the contract.
        joints: its joints.
        robot: by joint, what it is in the joint states.
        arms: the limits of those joints that are arms controlled by poses.
        problems: takes the mistakes.
    """
    group = root.group("controllers", "a group with names and one entry per controller")
    if group is None:
        return ()
    valid_types = [kind.value for kind in ControllerType]
    owners: dict[str, str] = {}
    controllers = []
    for name in group.names("names", IDENTIFIER_EXPECTED, is_identifier):
        entry = group.group(name, _GROUP_EXPECTED)
        if entry is None:
            continue
        kind = entry.text("type", f"one of: {listing(valid_types)}", lambda text: text in valid_types)
        owned = entry.names("joints", JOINT_EXPECTED, is_joint)
        single = kind == ControllerType.PARALLEL_GRIPPER
        gripper = entry.boolean("gripper", default=single)
        latency, uncertainty = read_latency(entry, 0.0), read_latency(entry, 0.0, "latency_uncertainty")
        node, topic = _optional_name(entry, "node", problems), _optional_name(entry, "topic", problems)
        if single and topic:
            problems.add(
                entry.key("topic"), f"'node' for a {kind}, which takes goals of an action", "a topic"
            )
        texts = entry.texts("joint_names", "a list with the name of each joint in the controller's messages")
        names = parse_controller_names(texts, owned, robot, entry.key("joint_names"), problems)
        pose = None
        if is_pose := bool(kind) and ControllerType(kind).takes_poses:
            pose = read_pose_arm(entry, kind, owned, node or name, arms, problems)
            for key in [key for key, given in (("gripper", gripper), ("joint_names", texts)) if given]:
                problems.add(entry.key(key), f"none, because {kind} takes the pose of an arm", "one")
        elif given := [key for key in POSE_KEYS if entry.has(key)]:
            problems.add(
                entry.key(given[0]),
                f"none, unless type is {listing(k for k in valid_types if ControllerType(k).takes_poses)}",
                "one",
            )
            entry.skip(POSE_KEYS)
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
        if kind and not (is_pose and pose is None):
            controllers.append(
                Controller(
                    name,
                    ControllerType(kind),
                    owned if pose is None else pose.coordinates,
                    gripper,
                    latency,
                    uncertainty,
                    node=node,
                    command_topic=topic,
                    robot_names=names if pose is None else (),
                    pose=pose,
                )
            )
    group.report_unknown_keys()
    _check_own_topics(controllers, group, problems)
    for joint in joints:
        if joint not in owners:
            problems.add("controllers", f"one controller for joint '{joint}'", "none")
    return tuple(controllers)


def _optional_name(entry: MappingReader, key: str, problems: Problems) -> str:
    """The name of a topic or node; empty if the key is absent or on a mistake."""
    expected = "a ROS name such as '/follower_left/arm_controller'"
    name = entry.optional_text(key, expected)
    if name and not is_topic(name):
        problems.add(entry.key(key), expected, show(name))
        return ""
    return name


def check_measured_poses(
    controllers: Sequence[Controller], joint_states: Sequence[JointStateTopic], problems: Problems
) -> None:
    """An arm whose commands were read as its measured pose would always be where it should be."""
    taken = {each.topic.strip("/"): "the joint states" for each in joint_states}
    taken |= {_inputs(each).strip("/"): f"the commands of '{each.name}'" for each in controllers}
    for controller in controllers:
        if controller.pose is None:
            continue
        topic = controller.pose.state_topic
        if (what := taken.get(topic.strip("/"))) is not None:
            problems.add(
                f"controllers.{controller.name}.state_topic",
                "a topic that only the measured pose of this arm is on",
                f"'{topic}', which is that of {what}",
            )
        taken[topic.strip("/")] = f"the measured pose of '{controller.name}'"


def _inputs(controller: Controller) -> str:
    """The topic or action that a controller takes commands from."""
    is_gripper = controller.type is ControllerType.PARALLEL_GRIPPER
    return controller.action if is_gripper else controller.topic


def _check_own_topics(controllers: Sequence[Controller], group: MappingReader, problems: Problems) -> None:
    """Two controllers that take commands from one topic would follow each other's.

    Names with and without the first slash are one topic, unless there is a namespace.
    """
    for index, controller in enumerate(controllers):
        for other in controllers[:index]:
            if _inputs(controller).strip("/") == _inputs(other).strip("/"):
                problems.add(
                    group.key(f"{controller.name}.node"),
                    "a node and topic that no other controller has",
                    f"'{_inputs(controller)}', as for '{other.name}'",
                )

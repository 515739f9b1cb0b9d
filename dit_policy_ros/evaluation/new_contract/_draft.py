# SPDX-License-Identifier: Apache-2.0
"""Puts a contract together from what was found. What only a person knows becomes a place to fill in."""

import itertools
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dit_policy_ros.core.contract import FILL_IN, ControllerType, UrdfJoint, is_topic
from dit_policy_ros.evaluation.new_contract._demonstrations import DatasetFacts
from dit_policy_ros.evaluation.new_contract._equal_names import Prefixed, nearest_first, with_prefixes
from dit_policy_ros.evaluation.new_contract._robot_facts import RobotFacts
from dit_policy_ros.ros.survey import FoundController, StreamFacts

# Parts of a topic's name that say nothing about which camera it is.
_PLAIN_PARTS = re.compile(r"image\w*|color|colour|rgb|compressed|camera|usb_cam|video")
_DEPTH = re.compile(r"16UC1|32FC1|mono16|depth", re.IGNORECASE)
_GRIPPER = re.compile(r"grip|finger|hand|claw", re.IGNORECASE)
_PERIODS = 6.0  # a stream may miss so many messages before it is stale
_SLOWER = 0.9  # of fps
_YOUNGEST = 0.2  # [s] least max_age
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user gives beside what is found; empty or None where it is not given.

    Attributes:
        robot_type: name of the kind of robot.
        fps: rate of observations and actions [Hz].
        namespace: of the robot, below which topics are written without it.
    """

    robot_type: str = ""
    fps: float | None = None
    namespace: str = "/"


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of the contract and what to know about it."""

    value: Any
    comment: str = ""


def fill_in(what: str) -> str:
    """The text that stands where a person must write a value; it says what is wanted."""
    return f"{FILL_IN}: {what}"


def draft_contract(robot: RobotFacts, dataset: DatasetFacts | None, choices: Choices) -> dict[str, Any]:
    """The contract as a nested mapping; its values are ``Entry``, lists of texts or mappings."""
    prefixed = with_prefixes(robot, () if dataset is None else dataset.names)
    robot = prefixed.robot
    joints = _joints(robot, dataset)
    return {
        "robot_type": _robot_type(robot, dataset, choices),
        "fps": _fps(robot, dataset, choices),
        "joints": joints,
        **_dataset_names(joints, robot, dataset),
        "joint_states": _joint_states(prefixed, joints, choices),
        "cameras": _cameras(robot, dataset, choices),
        "controllers": _controllers(prefixed, choices),
        "limits": _limits(joints, robot, dataset),
    }


def _robot_type(robot: RobotFacts, dataset: DatasetFacts | None, choices: Choices) -> Entry:
    if choices.robot_type:
        return Entry(choices.robot_type)
    if dataset is not None and dataset.robot_type:
        return Entry(dataset.robot_type, "of the dataset")
    if robot.robot_name:
        return Entry(robot.robot_name, "the URDF's name; datasets store it")
    return Entry(fill_in("a name for this kind of robot; datasets store it"))


def _fps(robot: RobotFacts, dataset: DatasetFacts | None, choices: Choices) -> Entry:
    if choices.fps is not None:
        return Entry(float(choices.fps), "[Hz]")
    if dataset is not None:
        return Entry(dataset.fps, "[Hz] of the dataset")
    rates = [each.rate for each in robot.images.values() if math.isfinite(each.rate)]
    seen = f"; the slowest camera gives {min(rates):.1f}" if rates else ""
    return Entry(fill_in(f"rate of observations and actions, of the dataset and the policy [Hz]{seen}"))


def _joints(robot: RobotFacts, dataset: DatasetFacts | None) -> list[str] | Entry:
    """In the order of the dataset if it has the same joints, else of the controllers.

    The dataset may also have those of controllers that do not say which they have.
    """
    commanded = [joint for each in robot.controllers.values() for joint in each.joints]
    silent = [each.node.rpartition("/")[2] for each in robot.controllers.values() if not each.joints]
    names = list(dataset.names) if dataset is not None else []
    if names and (not commanded or sorted(names) == sorted(commanded)):
        return names
    if silent and len(names) > len(commanded) and set(commanded) <= set(names):
        return names
    if commanded:
        asked = [
            fill_in(f"each joint of {name}{_candidates(robot)}; it needs a group in limits, too")
            for name in silent
        ]
        return [*dict.fromkeys(commanded), *asked]
    return Entry(fill_in("the joints' names, in the order of state and action"))


def _candidates(robot: RobotFacts) -> str:
    """The joints that are measured and that no known controller commands, in words."""
    commanded = {joint for each in robot.controllers.values() for joint in each.joints}
    topics = [each.names for each in robot.joint_states.values()]
    beside = [names for names in topics if commanded & set(names)] or topics
    measured = dict.fromkeys(name for names in beside for name in names)
    free = [name for name in measured if name not in commanded]
    return f" (measured, and of no other controller: {', '.join(free)})" if free else ""


def _dataset_names(
    joints: list[str] | Entry, robot: RobotFacts, dataset: DatasetFacts | None
) -> dict[str, list[str]]:
    if dataset is None or not dataset.names or isinstance(joints, Entry):
        return {}
    foreign = [name for name in dataset.names if name not in joints]
    return (
        {"dataset_names": [fill_in(f"{name} = JOINT * SCALE + OFFSET") for name in foreign]}
        if foreign
        else {}
    )


def _joint_states(prefixed: Prefixed, joints: list[str] | Entry, choices: Choices) -> dict[str, Entry]:
    robot = prefixed.robot
    known = () if isinstance(joints, Entry) else joints
    wanted = {joint for joint in known if not joint.startswith(FILL_IN)}
    having = {topic: each for topic, each in robot.joint_states.items() if wanted & set(each.names)}
    having = nearest_first(having, robot)
    whole = {topic: each for topic, each in having.items() if wanted <= set(each.names)}
    if whole:
        topic, stream = next(iter(whole.items()))
        return {"topic": Entry(_topic(topic, choices), _measured(stream)), "max_age": _max_age(stream)}
    if having and wanted <= {name for each in having.values() for name in each.names}:
        return _several(having, wanted, prefixed, choices)
    what = "the topic of sensor_msgs/JointState with all joints"
    if having:
        parts = ", ".join(
            f"{topic} ({len(wanted & set(each.names))} joints)" for topic, each in having.items()
        )
        what += f"; found: {parts}"
    elif robot.joint_states:
        what += f"; found, with other names: {', '.join(robot.joint_states)}"
    return {"topic": Entry(fill_in(what)), "max_age": Entry(_YOUNGEST, "[s]")}


def _several(
    having: Mapping[str, StreamFacts], wanted: set[str], prefixed: Prefixed, choices: Choices
) -> dict[str, Any]:
    """The topics that together have all joints. A name on two of them needs a prefix, which is asked for."""
    chosen: dict[str, StreamFacts] = {}
    missing = set(wanted)
    for topic, stream in sorted(having.items(), key=lambda each: -len(wanted & set(each[1].names))):
        if missing & set(stream.names):
            chosen[topic] = stream
            missing -= set(stream.names)
    names = [name for each in chosen.values() for name in each.names]
    twice = sorted({name for name in names if names.count(name) > 1})
    prefixes: dict[str, Any] = {}
    if twice:
        what = f"for each topic the prefix of its joint names: {', '.join(twice)} are on several"
        prefixes = {"prefixes": [fill_in(what)]}
    elif known := prefixed.prefixes:
        why = "before the names in each topic's messages"
        if prefixed.left_out:
            why += f"; {', '.join(prefixed.left_out)} (a leader's?) have the same names and are not used"
        prefixes = {"prefixes": Entry([known.get(topic, "") for topic in chosen], why)}
    age = max((_max_age(each) for each in chosen.values()), key=lambda entry: entry.value)
    return {"topics": [_topic(topic, choices) for topic in chosen], **prefixes, "max_age": age}


def _cameras(robot: RobotFacts, dataset: DatasetFacts | None, choices: Choices) -> dict[str, Any]:
    images = {topic: each for topic, each in robot.images.items() if not _DEPTH.search(each.encoding)}
    names = _camera_names([_topic(topic, choices) for topic in images])
    found: dict[str, dict[str, Entry]] = {}
    for name, (topic, stream) in zip(names, images.items(), strict=True):
        height, width = stream.size or (0, 0)
        found[name] = {
            "topic": Entry(_topic(topic, choices), f"{_measured(stream)}, {stream.encoding}"),
            "height": Entry(height or fill_in("of the images [pixel]"), "[pixel]"),
            "width": Entry(width or fill_in("of the images [pixel]"), "[pixel]"),
            "max_age": _max_age(stream),
            **_slow(stream, choices, dataset),
            **({"compressed": Entry(True)} if stream.encoding.startswith("compressed") else {}),
        }
    for camera in () if dataset is None else dataset.cameras:
        if camera.name in found:
            continue
        key = _unused(_identifier(camera.name, "camera"), found)
        found[key] = {
            "topic": Entry(
                fill_in(f"the topic of the dataset's camera {camera.name}"), "or give it to a camera above"
            ),
            "height": Entry(camera.height, "[pixel] of the dataset"),
            "width": Entry(camera.width, "[pixel]"),
            "max_age": Entry(0.25, "[s]"),
            **({"trained_as": Entry(camera.name)} if key != camera.name else {}),
        }
    if not found:
        return {"names": Entry(fill_in("names of the cameras; each has a group of its own"))}
    return {"names": list(found), **found}


def _slow(stream: StreamFacts, choices: Choices, dataset: DatasetFacts | None) -> dict[str, Entry]:
    """The rate of a camera that is slower than the frames of an episode."""
    fps = choices.fps or (dataset.fps if dataset is not None else 0.0)  # [Hz]
    is_slow = math.isfinite(stream.rate) and stream.rate < _SLOWER * fps
    return {"fps": Entry(round(stream.rate, 1), "[Hz] slower than the frames")} if is_slow else {}


def _camera_names(topics: Iterable[str]) -> list[str]:
    """Short, different names for cameras, from their topics."""
    found: list[str] = []
    for topic in topics:
        parts = [part for part in topic.strip("/").split("/") if not _PLAIN_PARTS.fullmatch(part)]
        found.append(_unused(_identifier("_".join(parts), "camera"), found))
    return found


def _identifier(text: str, kind: str) -> str:
    """The name of an entry of the contract. kind: of the entries; stands before what is no name alone."""
    name = re.sub(r"\W", "_", text)
    if not name:
        return kind
    return name if re.match(r"[A-Za-z]", name) and name != "names" else f"{kind}_{name}"


def _unused(name: str, used: Collection[str]) -> str:
    """The name, with a number if it is in use."""
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in used)


def _controllers(prefixed: Prefixed, choices: Choices) -> dict[str, Any]:
    entries: dict[str, dict[str, Any]] = {}
    for key, each in prefixed.robot.controllers.items():
        node = _topic(each.node, choices)
        name = _unused(_identifier(node.strip("/"), "controller"), entries)
        joints: list[str] | Entry = list(each.joints)
        if not each.joints:
            what = f"joints that {name} commands{_candidates(prefixed.robot)}; it does not say"
            joints = Entry(fill_in(what))
        entries[name] = {
            "type": Entry(each.type.value if each.type is not None else fill_in("its type")),
            "joints": joints,
            **({"joint_names": list(names)} if (names := prefixed.joint_names.get(key)) else {}),
            **({"node": Entry(node)} if node != name else {}),
            **_gripper(each),
        }
        if each.state and each.state != "active":
            entries[name]["type"] = Entry(entries[name]["type"].value, f"it is {each.state} now")
    if not entries:
        return {"names": Entry(fill_in("names of the ros2_control controllers; each has a group of its own"))}
    return {"names": list(entries), **entries}


def _gripper(controller: FoundController) -> dict[str, Entry]:
    is_trajectory = controller.type is ControllerType.JOINT_TRAJECTORY
    if is_trajectory and _GRIPPER.search(controller.node.rpartition("/")[2]):
        return {"gripper": Entry(True, "its name says so")}
    return {}


def _limits(
    joints: list[str] | Entry, robot: RobotFacts, dataset: DatasetFacts | None
) -> dict[str, Any] | Entry:
    if isinstance(joints, Entry):
        return Entry(fill_in("position_min, position_max, velocity and acceleration of each joint"))
    known = [joint for joint in joints if not joint.startswith(FILL_IN)]
    return {joint: _limit(joint, robot.urdf.get(joint), dataset) for joint in known}


def _limit(joint: str, urdf: UrdfJoint | None, dataset: DatasetFacts | None) -> dict[str, Entry]:
    index = dataset.names.index(joint) if dataset is not None and joint in dataset.names else None
    seen = ""
    if dataset is not None and index is not None:
        seen = f"; demonstrations went from {dataset.low[index]:.3g} to {dataset.high[index]:.3g}"
    found: dict[str, Entry] = {}
    if urdf is not None and urdf.continuous:
        found["continuous"] = Entry(True)
    else:
        low = None if urdf is None else urdf.position_min
        high = None if urdf is None else urdf.position_max
        if low is not None and high is not None and low < high and math.isfinite(high - low):
            found |= {"position_min": Entry(round(low, _DIGITS)), "position_max": Entry(round(high, _DIGITS))}
        else:
            given = "" if low is None or high is None else f"; the URDF says {low:g} to {high:g}"
            for name in ("position_min", "position_max"):
                found[name] = Entry(fill_in(f"of {joint} [rad or m]{given}{seen}"))
    if urdf is not None and urdf.prismatic:
        found["prismatic"] = Entry(True)
    found["velocity"] = _velocity(joint, urdf, dataset, index)
    unknown = "from the robot's manual; a quarter of it for the first day [rad/s^2 or m/s^2]"
    demonstrated = _demonstrated(dataset, "acceleration", index)
    found["acceleration"] = Entry(
        fill_in(unknown) if demonstrated is None else demonstrated,
        "" if demonstrated is None else "demonstrated",
    )
    return found


def _velocity(joint: str, urdf: UrdfJoint | None, dataset: DatasetFacts | None, index: int | None) -> Entry:
    """The lower one of the URDF's and the demonstrated."""
    limit = None if urdf is None or urdf.velocity is None else urdf.velocity
    limit = limit if limit is not None and math.isfinite(limit) and limit > 0.0 else None
    demonstrated = _demonstrated(dataset, "velocity", index)
    known = [value for value in (limit, demonstrated) if value is not None]
    if not known:
        return Entry(fill_in(f"of {joint} [rad/s or m/s]"))
    lowest = min(known)
    return Entry(round(lowest, _DIGITS), "demonstrated" if lowest != limit else "of the URDF")


def _demonstrated(dataset: DatasetFacts | None, name: str, index: int | None) -> float | None:
    if dataset is None or index is None:
        return None
    value = float(getattr(dataset, name)[index])
    return round(value, _DIGITS) if math.isfinite(value) and value > 0.0 else None


def _max_age(stream: StreamFacts) -> Entry:
    rate = stream.rate
    age = _YOUNGEST if not math.isfinite(rate) else max(_YOUNGEST, round(_PERIODS / rate, 2))
    return Entry(age, "[s]")


def _measured(stream: StreamFacts) -> str:
    if not math.isfinite(stream.rate):
        return "rate not measured: too few messages"
    lost = f", {stream.lost:.1%} lost" if stream.lost > 0.005 else ""
    return f"{stream.rate:.1f} Hz measured{lost}"


def _topic(name: str, choices: Choices) -> str:
    """A full name as it is written in the contract: relative to the robot's namespace."""
    prefix = "/" + choices.namespace.strip("/")
    prefix = prefix if prefix.endswith("/") else f"{prefix}/"
    relative = name.removeprefix(prefix)
    return relative if is_topic(relative) else name


def places_to_fill_in(contract: Mapping[str, Any]) -> int:
    """How many values a person must still write."""
    count = 0
    for value in contract.values():
        if isinstance(value, Mapping):
            count += places_to_fill_in(value)
        elif isinstance(value, Entry):
            count += isinstance(value.value, str) and value.value.startswith(FILL_IN)
        else:
            count += sum(isinstance(each, str) and each.startswith(FILL_IN) for each in value)
    return count

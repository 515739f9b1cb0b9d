# SPDX-License-Identifier: Apache-2.0
"""Arms whose joints have equal names, each with a namespace of its own: every arm gets a prefix.

Drivers of two-arm robots often run once for each arm: `/follower_left/joint_states` and
`/follower_right/joint_states` both have a `waist`, and so do the controllers beside them. The prefixes come
from the namespaces, or from the names in demonstrations.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from dit_policy_ros.evaluation.new_contract._robot_facts import RobotFacts
from dit_policy_ros.ros.survey import StreamFacts


@dataclass(frozen=True, slots=True)
class Prefixed:
    """The robot as the contract will name it.

    Attributes:
        robot: with prefixed joints wherever an arm has a prefix, and without the topics that do not count.
        prefixes: by topic of joint states; topics without one are left out.
        joint_names: by controller, how its messages call its joints; those with equal names are left out.
        left_out: topics with joints of the same names, beside no controller, as those of leader arms.
    """

    robot: RobotFacts
    prefixes: Mapping[str, str] = field(default_factory=dict)
    joint_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def with_prefixes(robot: RobotFacts, dataset_names: Sequence[str] = ()) -> Prefixed:
    """Name equal joints differently, if the namespaces show which arm they are of.

    Args:
        robot: as found.
        dataset_names: the entries of demonstrations, which say what the joints are called.
    """
    count = Counter(joint for each in robot.controllers.values() for joint in each.joints)
    twice = {joint for joint, number in count.items() if number > 1}
    if not twice:
        return _topics_named_otherwise(robot, set(count))
    groups = {_namespace(each.node) for each in robot.controllers.values() if twice & set(each.joints)}
    topics = {group: _topic_of(group, robot, twice) for group in groups}
    found = [topic for topic in topics.values() if topic]
    if len(groups) < 2 or len(found) < len(groups) or len(set(found)) < len(found):
        return Prefixed(robot)  # nothing tells the arms apart: the draft asks
    prefixes = _prefixes(sorted(groups), robot, set(dataset_names))
    controllers, joint_names = {}, {}
    urdf = dict(robot.urdf)
    for name, each in robot.controllers.items():
        prefix = prefixes.get(_namespace(each.node), "")
        controllers[name] = replace(each, joints=tuple(prefix + joint for joint in each.joints))
        if prefix and each.joints:
            joint_names[name] = each.joints
            urdf |= {prefix + joint: robot.urdf[joint] for joint in each.joints if joint in robot.urdf}
    used = {topics[group]: prefix for group, prefix in prefixes.items()}
    states, left_out = {}, []
    for topic, stream in robot.joint_states.items():
        if topic in used:
            states[topic] = _renamed(stream, used[topic])
        elif twice & set(stream.names):
            left_out.append(topic)
        else:
            states[topic] = stream
    renamed = replace(robot, controllers=controllers, joint_states=states, urdf=urdf)
    return Prefixed(renamed, used, joint_names, tuple(left_out))


def _topics_named_otherwise(robot: RobotFacts, wanted: set[str]) -> Prefixed:
    """Controllers have `left_waist` and `right_waist`, and each arm's topic calls it `waist`."""
    prefixes: dict[str, str] = {}
    for topic, stream in robot.joint_states.items():
        if not stream.names or wanted & set(stream.names):
            continue
        endings = ((name, own) for name in wanted for own in stream.names if name.endswith(own))
        for prefix in sorted({name.removesuffix(own) for name, own in endings}):
            owned = {name for name in wanted if name.startswith(prefix)}
            has_all = owned <= {prefix + name for name in stream.names}
            if prefix and has_all and _tokens(prefix) <= _tokens(_namespace(topic)):
                prefixes[topic] = prefix
    states = {
        topic: _renamed(stream, prefixes.get(topic, "")) for topic, stream in robot.joint_states.items()
    }
    return Prefixed(replace(robot, joint_states=states), prefixes)


def nearest_first(topics: Mapping[str, StreamFacts], robot: RobotFacts) -> dict[str, StreamFacts]:
    """Topics of joint states; first those in the namespaces of the controllers, as a leader's is not."""
    places = {_namespace(each.node) for each in robot.controllers.values()}
    return dict(sorted(topics.items(), key=lambda each: _namespace(each[0]) not in places))


def _namespace(name: str) -> str:
    return name.rpartition("/")[0]


def _topic_of(group: str, robot: RobotFacts, twice: set[str]) -> str:
    """The topic of joint states in a namespace or nearest above its controllers; empty without one."""
    beside = [each for each in robot.controllers.values() if _namespace(each.node) == group]
    joints = {joint for each in beside for joint in each.joints}
    having = [topic for topic, each in robot.joint_states.items() if joints & twice <= set(each.names)]
    inside = [topic for topic in having if f"{group}/".startswith(f"{_namespace(topic)}/")]
    return max(inside, key=lambda topic: len(_namespace(topic)), default="")


def _prefixes(groups: Sequence[str], robot: RobotFacts, dataset_names: set[str]) -> dict[str, str]:
    """A prefix for each namespace: the one of the demonstrations, or what distinguishes the namespaces."""
    parts = {group: [part for part in re.split(r"[/_]", group) if part] for group in groups}
    distinct = _without_common(list(parts.values()))
    if not all(distinct) or len(set(map(tuple, distinct))) < len(groups):
        distinct = list(parts.values())
    found = {}
    for group, own in zip(groups, distinct, strict=True):
        joints = [
            joint
            for each in robot.controllers.values()
            if _namespace(each.node) == group
            for joint in each.joints
        ]
        known = {name.removesuffix(joints[0]) for name in dataset_names if name.endswith(joints[0])}
        demonstrated = [
            prefix
            for prefix in sorted(known)
            if prefix
            and {prefix + joint for joint in joints} <= dataset_names
            and _tokens(prefix) <= _tokens(group)
        ]
        found[group] = demonstrated[0] if len(demonstrated) == 1 else "_".join(own) + "_"
    return found


def _without_common(lists: Sequence[Sequence[str]]) -> list[list[str]]:
    """Lists without the parts with which all of them begin, and those with which all end."""
    rest = [list(each) for each in lists]
    for end in (0, -1):
        while all(rest) and len({each[end] for each in rest}) == 1:
            for each in rest:
                del each[end]
    return rest


def _tokens(text: str) -> set[str]:
    return {part.lower() for part in re.split(r"[^A-Za-z0-9]", text) if part}


def _renamed(stream: StreamFacts, prefix: str) -> StreamFacts:
    return replace(stream, names=dict.fromkeys(prefix + name for name in stream.names)) if prefix else stream

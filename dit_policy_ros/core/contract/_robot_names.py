# SPDX-License-Identifier: Apache-2.0
"""What the robot calls its joints in its messages, and in which unit it counts.

`robot_names` of the contract say it for the joint states and, unless a controller has `joint_names` of its
own, for the commands. Shapes: A joints of the contract, A_c joints of a controller.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dit_policy_ros.core.contract._joint_mapping import JointMapping
from dit_policy_ros.core.contract._linear_entry import LinearEntry, read_entry, read_value
from dit_policy_ros.core.problems import Problems, listing

EXPECTED = "'JOINT = ROBOT_NAME', 'JOINT = ROBOT_NAME * SCALE' or 'JOINT = ROBOT_NAME * SCALE + OFFSET'"
_VALUE_EXPECTED = "'ROBOT_NAME', 'ROBOT_NAME * SCALE' or 'ROBOT_NAME * SCALE + OFFSET'"
_SMALLEST, _LARGEST = 1e-9, 1e9  # of a scale: beyond that it is a mistake


@dataclass(frozen=True, slots=True)
class RobotName:
    """A joint as the robot has it: ``joint = value * scale + offset``, in the contract's unit.

    scale: not 0; of another sign for a mirrored joint.
    """

    name: str
    scale: float = 1.0
    offset: float = 0.0

    @property
    def is_plain(self) -> bool:
        """Whether the robot counts as the contract does."""
        return self.scale == 1.0 and self.offset == 0.0


def mapping_of(names: Sequence[RobotName]) -> JointMapping:
    """Converts between the robot's values and the joints, both in the order of ``names``."""
    return JointMapping(
        tuple(each.name for each in names),
        np.array([each.scale for each in names], dtype=np.float64),
        np.array([each.offset for each in names], dtype=np.float64),
    )


def parse_robot_names(
    entries: Sequence[str], joints: Sequence[str], key: str, problems: Problems
) -> tuple[RobotName, ...]:
    """The robot's name of each joint, (A,), from entries "JOINT = ROBOT_NAME * SCALE + OFFSET".

    A joint without an entry has its own name and unit. Reports mistakes to ``problems``.
    """
    found: dict[str, RobotName] = {}
    for text in entries:
        if not text.strip():
            continue
        entry = read_entry(text)
        if entry is None:
            problems.add(key, EXPECTED, f"'{text}'")
        elif entry.target not in joints:
            problems.add_unknown(key, entry.target, joints)
        elif entry.target in found:
            problems.add(key, "each joint once", f"'{entry.target}' again")
        elif _is_usable(entry, text, key, problems):
            found[entry.target] = RobotName(entry.source, entry.factor, entry.offset)
    names = tuple(found.get(joint, RobotName(joint)) for joint in joints)
    _check_different(names, joints, key, problems)
    return names


def parse_controller_names(
    entries: Sequence[str],
    joints: Sequence[str],
    robot: Mapping[str, RobotName],
    key: str,
    problems: Problems,
) -> tuple[RobotName, ...]:
    """The names in a controller's messages, (A_c,), in the order of its joints.

    Args:
        entries: "ROBOT_NAME", with " * SCALE + OFFSET" if its unit is not that of the joint states. Without
            entries, the names of the joint states.
        joints: of the controller.
        robot: by joint, what it is in the joint states.
        key: of the entries.
        problems: takes the mistakes.
    """
    plain = tuple(robot.get(joint, RobotName(joint)) for joint in joints)
    if not entries:
        return plain
    if len(entries) != len(joints):
        problems.add(key, f"a name for each of {listing(joints)}, in this order", f"{len(entries)} names")
        return plain
    names = []
    for text, same in zip(entries, plain, strict=True):
        entry = read_value(text)
        if entry is None:
            problems.add(key, _VALUE_EXPECTED, f"'{text}'")
        elif _is_usable(entry, text, key, problems):
            says_unit = entry.scale is not None or entry.offset
            scale, offset = (entry.factor, entry.offset) if says_unit else (same.scale, same.offset)
            names.append(RobotName(entry.source, scale, offset))
    if len(names) < len(joints):
        return plain
    _check_different(names, joints, key, problems)
    return tuple(names)


def _is_usable(entry: LinearEntry, text: str, key: str, problems: Problems) -> bool:
    """Whether the value can be computed in both directions; if not, it is a mistake."""
    if _SMALLEST <= abs(entry.factor) <= _LARGEST and math.isfinite(entry.offset):
        return True
    problems.add(key, f"a scale from {_SMALLEST:g} to {_LARGEST:g} or its negative", f"'{text}'")
    return False


def _check_different(names: Sequence[RobotName], joints: Sequence[str], key: str, problems: Problems) -> None:
    owners: dict[str, str] = {}
    for each, joint in zip(names, joints, strict=True):
        if each.name in owners:
            problems.add(
                key, "another name for each joint", f"'{each.name}' for '{owners[each.name]}' and '{joint}'"
            )
        owners.setdefault(each.name, joint)

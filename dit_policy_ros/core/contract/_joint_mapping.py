# SPDX-License-Identifier: Apache-2.0
"""Maps the joints of a leader arm, or the entries of a command, to the joints of the robot."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.core.problems import Problems

_NUMBER = r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?"
_ENTRY = re.compile(rf"\s*([^=*\s]+)\s*=\s*([^=*\s]+)\s*(?:\*\s*({_NUMBER})\s*)?(?:\+\s*({_NUMBER})\s*)?")
_EXPECTED = "'joint = source', 'joint = source * scale' or 'joint = source * scale + offset'"


@dataclass(frozen=True, slots=True, eq=False)
class JointMapping:
    """Converts the values of another device to joint values: `value = source * scale + offset`.

    sources: names of the other device's values, one per joint of the robot. scale, offset: (D,).
    """

    sources: tuple[str, ...]
    scale: np.ndarray
    offset: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Joint values (D,) [rad or m] from the values (D,) of `sources`."""
        return values * self.scale + self.offset


def parse_mapping(entries: Sequence[str], joints: Sequence[str], key: str) -> JointMapping:
    """Parses entries such as "left_gripper = grip_l * 0.04 + 0.001"; other joints keep name and value.

    Args:
        entries: one per mapped joint; blank ones are ignored.
        joints: names of the robot's joints.
        key: the parameter that holds the entries, for messages.

    Raises:
        ParameterError: lists all mistakes.
    """
    problems = Problems(key)
    sources, scale, offset = list(joints), np.ones(len(joints)), np.zeros(len(joints))
    seen: set[str] = set()
    for entry in entries:
        if not entry.strip():
            continue
        match = _ENTRY.fullmatch(entry)
        if match is None:
            problems.add(key, _EXPECTED, f"'{entry}'")
        elif match[1] not in joints:
            problems.add_unknown(key, match[1], joints)
        elif match[1] in seen:
            problems.add(key, "each joint once", f"'{match[1]}' again")
        else:
            seen.add(match[1])
            index = list(joints).index(match[1])
            sources[index] = match[2]
            scale[index] = float(match[3] or 1.0)
            offset[index] = float(match[4] or 0.0)
    problems.raise_if_any(ParameterError, "The joint mapping is not valid")
    return JointMapping(tuple(sources), scale, offset)

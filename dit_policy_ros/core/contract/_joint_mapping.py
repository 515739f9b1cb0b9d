# SPDX-License-Identifier: Apache-2.0
"""Which joint of a leader, or entry of a command, drives which joint of the robot, and in what proportion."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.core.problems import Problems

_NUMBER = r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?"
_ENTRY = re.compile(rf"\s*([^=*\s]+)\s*=\s*([^=*\s]+)\s*(?:\*\s*({_NUMBER})\s*)?(?:\+\s*({_NUMBER})\s*)?")
EXPECTED = "'joint = source', 'joint = source * scale' or 'joint = source * scale + offset'"


@dataclass(frozen=True, slots=True, eq=False)
class JointMapping:
    """Values of the robot's joints from those of another device: `value = source * scale + offset`.

    sources: the names to look for there, in the order of the robot's joints. scale, offset: (D,).
    """

    sources: tuple[str, ...]
    scale: np.ndarray
    offset: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Values (D,) of `sources` as values of the joints (D,) [rad or m]."""
        return values * self.scale + self.offset


def parse_mapping(entries: Sequence[str], joints: Sequence[str], key: str) -> JointMapping:
    """Reads entries like "left_gripper = grip_l * 0.04 + 0.001"; other joints keep name and value.

    key: the parameter they come from. Raises ParameterError that lists every mistake.
    """
    problems = Problems(key)
    sources, scale, offset = list(joints), np.ones(len(joints)), np.zeros(len(joints))
    seen: set[str] = set()
    for entry in entries:
        if not entry.strip():
            continue
        match = _ENTRY.fullmatch(entry)
        if match is None:
            problems.add(key, EXPECTED, f"'{entry}'")
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
    problems.raise_if_any(ParameterError, "The mapping of joints is not valid")
    return JointMapping(tuple(sources), scale, offset)

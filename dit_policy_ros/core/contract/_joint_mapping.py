# SPDX-License-Identifier: Apache-2.0
"""Maps the joints of a leader arm, the entries of a command, or the robot's own names to the joints."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dit_policy_ros.core.contract._linear_entry import read_entry
from dit_policy_ros.core.errors import ParameterError
from dit_policy_ros.core.problems import Problems

_EXPECTED = "'joint = source', 'joint = source * scale' or 'joint = source * scale + offset'"


@dataclass(frozen=True, slots=True, eq=False)
class JointMapping:
    """Converts the values of another device to joint values: `value = source * scale + offset`.

    sources: names of the other device's values, one per joint of the robot. scale, offset: (D,).
    is_identity: whether values stay as they are, bit for bit.
    """

    sources: tuple[str, ...]
    scale: np.ndarray
    offset: np.ndarray
    is_identity: bool = field(init=False)

    def __post_init__(self) -> None:
        is_identity = bool((self.scale == 1.0).all()) and not self.offset.any()
        object.__setattr__(self, "is_identity", is_identity)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Joint values (..., D) [rad or m] from the values (..., D) of `sources`."""
        return values if self.is_identity else values * self.scale + self.offset

    def part(self, joints: Sequence[int]) -> "JointMapping":
        """The mapping of some joints, by index."""
        chosen = list(joints)
        return JointMapping(
            tuple(self.sources[joint] for joint in chosen), self.scale[chosen], self.offset[chosen]
        )

    def rates(self, rates: np.ndarray) -> np.ndarray:
        """Joint velocities (..., D) [rad/s or m/s] from the velocities (..., D) of `sources`."""
        return rates if self.is_identity else rates * self.scale

    def inverse(self, joints: np.ndarray) -> np.ndarray:
        """Values (..., D) of `sources` from joint values (..., D) [rad or m]. The scale must not be 0."""
        return joints if self.is_identity else (joints - self.offset) / self.scale

    def inverse_rates(self, rates: np.ndarray) -> np.ndarray:
        """Velocities (..., D) of `sources` from joint velocities (..., D). The scale must not be 0."""
        return rates if self.is_identity else rates / self.scale


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
    for text in entries:
        if not text.strip():
            continue
        entry = read_entry(text)
        if entry is None or not np.isfinite([entry.factor, entry.offset]).all():
            problems.add(key, _EXPECTED, f"'{text}'")
        elif entry.target not in joints:
            problems.add_unknown(key, entry.target, joints)
        elif entry.target in seen:
            problems.add(key, "each joint once", f"'{entry.target}' again")
        else:
            seen.add(entry.target)
            index = list(joints).index(entry.target)
            sources[index], scale[index], offset[index] = entry.source, entry.factor, entry.offset
    problems.raise_if_any(ParameterError, "The joint mapping is not valid")
    return JointMapping(tuple(sources), scale, offset)

# SPDX-License-Identifier: Apache-2.0
"""What a dataset has for each joint: joints are themselves; the pose of an arm has nine entries.

Shapes: A joints and coordinates of the contract, E entries of a dataset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.poses._chart import COORDINATES, ENTRIES, ROTATION_ENTRIES, PoseChart


@dataclass(frozen=True, slots=True, eq=False)
class EntryLayout:
    """Converts what is measured and commanded (..., A) to a dataset's entries (..., E) and back.

    names: of the entries, (E,).
    """

    names: tuple[str, ...]
    _joints: NDArray[np.intp]  # (S,) plain joints, and where their entries are
    _entries: NDArray[np.intp]  # (S,)
    _poses: tuple[tuple[slice, slice, PoseChart], ...]  # of each arm: its joints, its entries

    @classmethod
    def of(cls, joints: Sequence[str], charts: Mapping[int, tuple[str, PoseChart]]) -> Self:
        """The layout for joints (A,).

        Args:
            joints: their names.
            charts: by the index of its first coordinate, each pose-controlled arm's name and chart.
        """
        names: list[str] = []
        plain, entries, poses = [], [], []
        index = 0
        while index < len(joints):
            if index in charts:
                arm, chart = charts[index]
                span = slice(index, index + len(COORDINATES))
                poses.append((span, slice(len(names), len(names) + len(ENTRIES)), chart))
                names += [f"{arm}.{entry}" for entry in ENTRIES]
                index = span.stop
            else:
                plain.append(index)
                entries.append(len(names))
                names.append(joints[index])
                index += 1
        return cls(tuple(names), np.array(plain, np.intp), np.array(entries, np.intp), tuple(poses))

    @property
    def is_identity(self) -> bool:
        """Whether entries are the joints: no arm is controlled by poses."""
        return not self._poses

    def to_entries(self, joints: NDArray) -> NDArray[np.float64]:
        """Entries (..., E) of joints (..., A). What is NaN stays NaN."""
        if self.is_identity:
            return joints
        entries = np.empty((*joints.shape[:-1], len(self.names)))  # (..., E)
        entries[..., self._entries] = joints[..., self._joints]
        for columns, places, chart in self._poses:
            pose = np.asarray(joints[..., columns], dtype=np.float64)  # (..., 6)
            known = np.isfinite(pose).all(axis=-1, keepdims=True)  # (..., 1)
            entries[..., places] = np.where(known, chart.entries(np.where(known, pose, 0.0)), np.nan)
        return entries

    def to_joints(self, entries: NDArray) -> NDArray[np.float64]:
        """Joints (..., A) of entries (..., E).

        Raises PoseError: a rotation is not finite or degenerate.
        """
        if self.is_identity:
            return entries
        count = len(self._joints) + len(self._poses) * len(COORDINATES)
        joints = np.empty((*entries.shape[:-1], count))  # (..., A)
        joints[..., self._joints] = entries[..., self._entries]
        for columns, places, chart in self._poses:
            joints[..., columns] = chart.of_entries(entries[..., places])
        return joints


def rotation_columns(names: Sequence[str]) -> list[int]:
    """The indices of the entries of whole 6-D rotations, `ARM.r11` to `ARM.r32`, arm by arm."""
    found: list[int] = []
    for arm in dict.fromkeys(name.rpartition(".")[0] for name in names):
        own = [f"{arm}.{entry}" for entry in ROTATION_ENTRIES]
        if arm and all(name in names for name in own):
            found += [list(names).index(name) for name in own]
    return found

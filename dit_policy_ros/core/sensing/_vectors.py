# SPDX-License-Identifier: Apache-2.0
"""Interpolates further vectors between two samples."""

from collections.abc import Sequence

import numpy as np

from dit_policy_ros.core.contract import QUATERNION
from dit_policy_ros.core.sensing._streams import Sample


def interpolate_vector(
    before: Sample[np.ndarray], after: Sample[np.ndarray], stamp_ns: int, entries: Sequence[str]
) -> np.ndarray:
    """Linear interpolation between two samples -> (K,) float64.

    A quaternion among the entries is interpolated the short way, and is a unit quaternion again.
    """
    weight = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
    start = np.asarray(before.value, dtype=np.float64)  # (K,)
    end = np.array(after.value, dtype=np.float64)  # (K,)
    turn = quaternion_index(entries)  # (4,) or (0,)
    if len(turn) and start[turn] @ end[turn] < 0.0:  # q and -q are one orientation
        end[turn] = -end[turn]
    result = start + weight * (end - start)  # (K,)
    if len(turn):
        result[turn] = unit_quaternion(result[turn])
    return result


def quaternion_index(entries: Sequence[str]) -> np.ndarray:
    """Where the entries x, y, z, w of an orientation stand, (4,); (0,) if they are not all there."""
    if not set(QUATERNION) <= set(entries):
        return np.empty(0, dtype=np.intp)
    return np.array([list(entries).index(name) for name in QUATERNION], dtype=np.intp)


def unit_quaternion(values: np.ndarray) -> np.ndarray:
    """The unit quaternion of (x, y, z, w) with w of at least 0, so that each orientation has one form."""
    unit = values / np.linalg.norm(values)
    return -unit if unit[3] < 0.0 else unit

# SPDX-License-Identifier: Apache-2.0
"""Blends the target from an earlier motion into a new one: the soft start and the change of a task."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

_MIN_DURATION = 1e-9  # [s] a shorter blend switches at once


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """A smooth transition from a former target to a new one, over ``duration`` from ``begin_ns`` on.

    Attributes:
        times_ns: int64 (M,), ascending knots of the former target [ns].
        former: float64 (M, A) [rad or m]; after its last knot it stays at its last position.
        begin_ns: when the transition begins [ns].
        duration: how long it takes [s]; 0 switches at once.
    """

    times_ns: NDArray[np.int64]
    former: NDArray[np.float64]
    begin_ns: int
    duration: float

    @classmethod
    def from_pose(cls, pose: NDArray[np.float64], begin_ns: int, duration: float) -> Self:
        """A transition that starts at rest at ``pose`` (A,)."""
        return cls(np.array([begin_ns]), pose[None, :], begin_ns, duration)

    def apply(self, times_ns: NDArray[np.int64], target: NDArray[np.float64]) -> NDArray[np.float64]:
        """Blends the new target (K, A) at ``times_ns`` (K,) with the former one -> (K, A)."""
        row = np.searchsorted(self.times_ns, times_ns, side="right") - 1  # (K,)
        former = self.former[np.clip(row, 0, len(self.former) - 1)]  # (K, A)
        elapsed = (times_ns - self.begin_ns) * 1e-9  # (K,) [s]
        u = np.clip(elapsed / max(self.duration, _MIN_DURATION), 0.0, 1.0)[:, None]  # (K, 1)
        weight = u * u * (3.0 - 2.0 * u)  # (K, 1) smoothstep: zero slope at both ends
        return former + weight * (target - former)

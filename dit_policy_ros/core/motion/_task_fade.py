# SPDX-License-Identifier: Apache-2.0
"""From what the task before asked for into what the new one does, over more than the usual cross-fade."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class TaskFade:
    """Blends the former target out over ``duration`` from ``begin_ns`` on.

    Attributes:
        times_ns: int64 (M,), ascending knots of the former target [ns].
        former: float64 (M, A) [rad or m]; beyond its last knot it stays there.
        begin_ns: when the blending begins [ns].
        duration: how long it takes [s].
    """

    times_ns: NDArray[np.int64]
    former: NDArray[np.float64]
    begin_ns: int
    duration: float

    def apply(self, times_ns: NDArray[np.int64], target: NDArray[np.float64]) -> NDArray[np.float64]:
        """The new target (K, A) at knots ``times_ns`` (K,), blended with the former one -> (K, A)."""
        row = np.searchsorted(self.times_ns, times_ns, side="right") - 1  # (K,)
        former = self.former[np.clip(row, 0, len(self.former) - 1)]  # (K, A)
        u = np.clip((times_ns - self.begin_ns) * 1e-9 / self.duration, 0.0, 1.0)[:, None]  # (K, 1)
        weight = u * u * (3.0 - 2.0 * u)  # (K, 1) smoothstep: zero slope at both ends
        return former + weight * (target - former)

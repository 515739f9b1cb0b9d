# SPDX-License-Identifier: Apache-2.0
"""The first motion after standing: from the pose the robot is in, gently into what the policy wants."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class SoftStart:
    """Blends targets in over ``duration`` from ``begin_ns`` on, starting at ``position``.

    Attributes:
        position: float64 (A,), the pose at the beginning [rad or m].
        begin_ns: when the blending begins [ns].
        duration: how long it takes [s]; 0 switches at once.
    """

    position: NDArray[np.float64]
    begin_ns: int
    duration: float

    def apply(self, times_ns: NDArray[np.int64], target: NDArray[np.float64]) -> NDArray[np.float64]:
        """The target (K, A) at ``times_ns`` (K,), blended with the start pose -> (K, A)."""
        elapsed = (times_ns - self.begin_ns) * 1e-9  # (K,) [s]
        u = np.clip(elapsed / max(self.duration, 1e-9), 0.0, 1.0)[:, None]  # (K, 1)
        weight = u * u * (3.0 - 2.0 * u)  # (K, 1) smoothstep: zero slope at both ends
        return self.position + weight * (target - self.position)

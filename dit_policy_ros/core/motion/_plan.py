# SPDX-License-Identifier: Apache-2.0
"""A plan: the trajectory that the controllers execute, and the grid of knots that it lies on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A plan begins this long before now. A controller whose clock is behind ours looks for its present point in
# the past of a plan; without it, it would interpolate from the measured position.
PLAN_HISTORY = 0.13  # [s]


@dataclass(frozen=True, slots=True)
class KnotGrid:
    """The fixed grid of knots that all plans share: ``t_k = origin + k * period``.

    Times are integer nanoseconds, so rounding errors cannot accumulate.
    """

    origin_ns: int
    period_ns: int

    def __post_init__(self) -> None:
        if self.period_ns <= 0:
            raise ValueError(f"the period of a grid must be positive, got {self.period_ns} ns")

    @property
    def period(self) -> float:
        """Spacing of the knots [s]."""
        return self.period_ns * 1e-9

    def at_or_before(self, time_ns: int) -> int:
        """Index of the last knot that is not after ``time_ns``."""
        return (time_ns - self.origin_ns) // self.period_ns

    def at_or_after(self, time_ns: int) -> int:
        """Index of the first knot that is not before ``time_ns``."""
        return -((self.origin_ns - time_ns) // self.period_ns)

    def times_ns(self, first: int, last: int) -> NDArray[np.int64]:
        """Times of the knots ``first`` to ``last``, both included -> (K,) [ns]."""
        return self.origin_ns + self.period_ns * np.arange(first, last + 1, dtype=np.int64)  # (K,)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Knots of position and velocity; the controller follows the cubic Hermite spline through them.

    Attributes:
        times_ns: int64 (K,), strictly increasing [ns].
        positions: float64 (K, A) [rad or m].
        velocities: float64 (K, A) [rad/s or m/s].
    """

    times_ns: NDArray[np.int64]
    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]

    def __post_init__(self) -> None:
        knots = len(self.times_ns)
        if (
            self.positions.ndim != 2
            or self.positions.shape != self.velocities.shape
            or len(self.positions) != knots
        ):
            raise ValueError(
                f"a plan of {knots} knots needs positions and velocities of shape ({knots}, A), "
                f"got {self.positions.shape} and {self.velocities.shape}"
            )
        if knots == 0:
            raise ValueError("a plan needs at least one knot")

    @property
    def end_ns(self) -> int:
        """Time of the last knot [ns]; the controller holds its position from then on."""
        return int(self.times_ns[-1])

    def rest_ns(self, joints: NDArray[np.integer] | slice = slice(None)) -> int:
        """From when on some joints, by default all, are at rest [ns]."""
        moving = np.flatnonzero((self.velocities[:, joints] != 0.0).any(axis=1))  # knots
        last = min(int(moving[-1]) + 1, len(self.times_ns) - 1) if len(moving) else 0
        return int(self.times_ns[last])

    def sample(self, times_ns: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Commanded positions and velocities at ``times_ns`` (N,) -> (N, A), (N, A).

        Before the first knot this is the first position, after the last knot the last one, at zero velocity.
        """
        last = len(self.times_ns) - 1
        segment = np.clip(
            np.searchsorted(self.times_ns, times_ns, side="right") - 1, 0, max(last - 1, 0)
        )  # (N,)
        following = np.minimum(segment + 1, last)  # (N,)
        span = np.maximum((self.times_ns[following] - self.times_ns[segment]) * 1e-9, 1e-9)[
            :, None
        ]  # (N, 1) [s]
        u = np.clip((times_ns - self.times_ns[segment])[:, None] * 1e-9 / span, 0.0, 1.0)  # (N, 1)
        p0, p1 = self.positions[segment], self.positions[following]  # (N, A)
        v0, v1 = self.velocities[segment] * span, self.velocities[following] * span  # (N, A) per segment
        c2 = 3.0 * (p1 - p0) - 2.0 * v0 - v1  # (N, A)
        c3 = 2.0 * (p0 - p1) + v0 + v1  # (N, A)
        positions = p0 + u * (v0 + u * (c2 + u * c3))  # (N, A)
        velocities = (v0 + u * (2.0 * c2 + u * 3.0 * c3)) / span  # (N, A)
        outside = (times_ns < self.times_ns[0]) | (times_ns > self.times_ns[-1])  # (N,)
        velocities[outside] = 0.0
        return positions, velocities

    def sample_at(self, time_ns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Commanded position and velocity at one time [ns] -> (A,), (A,)."""
        positions, velocities = self.sample(np.array([time_ns]))
        return positions[0], velocities[0]

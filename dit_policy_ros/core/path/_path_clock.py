# SPDX-License-Identifier: Apache-2.0
"""The path time: how far the arms are along what the policy asks for.

At full speed the path time is the time itself. Where the arms go slower than the policy asks, because of
``velocity_scale`` or a limit, the path time goes slower, too. Chunks are matched by path time, so the arms
take
the same path at any speed: a slow motion is late, but it does not cut a corner.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

_REMEMBERED_NS = 10_000_000_000  # an observation older than this is far too old to be used


class PathClock:
    """Maps the time of the node's clock to the path time of a group of joints, and back."""

    def __init__(self, start_ns: int) -> None:
        """Both times are equal up to ``start_ns`` [ns]."""
        self.rate = 1.0  # path time per time after the last known knot
        # Replaced as a whole: the inference thread reads it while a plan is made.
        self._known = _Known.of(np.array([start_ns]), np.array([start_ns]))

    def extend(self, times_ns: NDArray[np.int64], path_ns: NDArray[np.int64]) -> None:
        """Set the path times (K,) at ``times_ns`` (K,) [ns]; what was known from then on is dropped."""
        known = self._known
        kept = slice(*np.searchsorted(known.times_ns, [times_ns[-1] - _REMEMBERED_NS, times_ns[0]]))
        self._known = _Known.of(
            np.concatenate([known.times_ns[kept], times_ns]), np.concatenate([known.path_ns[kept], path_ns])
        )

    def at(self, times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The path times [ns] at ``times_ns`` (K,) [ns]."""
        known = self._known
        relative = (times_ns - known.times_ns[0]).astype(np.float64)  # (K,)
        return known.path_ns[0] + _interpolate(relative, known.times, known.path, self.rate)

    def time_of(self, path_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first times [ns] at which the path times ``path_ns`` (K,) [ns] are reached."""
        known = self._known
        relative = (path_ns - known.path_ns[0]).astype(np.float64)  # (K,)
        return known.times_ns[0] + _interpolate(relative, known.path, known.times, 1.0 / self.rate)


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """Knots at which the path time is known, (N,) each.

    Attributes:
        times_ns, path_ns: ascending times and path times [ns].
        times, path: the same as floats after the first one [ns]; floats cannot hold the nanoseconds of a
            date.
    """

    times_ns: NDArray[np.int64]
    path_ns: NDArray[np.int64]
    times: NDArray[np.float64]
    path: NDArray[np.float64]

    @classmethod
    def of(cls, times_ns: NDArray[np.int64], path_ns: NDArray[np.int64]) -> Self:
        times, path = times_ns - times_ns[0], path_ns - path_ns[0]  # (N,) both
        return cls(times_ns, path_ns, times.astype(np.float64), path.astype(np.float64))


def _interpolate(
    query: NDArray[np.float64], known: NDArray[np.float64], values: NDArray[np.float64], slope_after: float
) -> NDArray[np.int64]:
    """Linear between the known points [ns]; slope 1 before the first, ``slope_after`` after the last."""
    result = np.interp(query, known, values)  # (K,)
    result += np.minimum(query, 0.0) + np.maximum(query - known[-1], 0.0) * slope_after
    return np.rint(result).astype(np.int64)

# SPDX-License-Identifier: Apache-2.0
"""A chunk: the actions of one inference with their absolute times."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Actions of one inference; ``actions[k]`` is meant for ``stamp_ns + k * period_ns``.

    Attributes:
        stamp_ns: time of the observation that the chunk was inferred from [ns].
        period_ns: spacing of the actions, the training interval [ns].
        actions: float64 (T, A) in robot units [rad or m].
    """

    stamp_ns: int
    period_ns: int
    actions: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.actions.ndim != 2 or len(self.actions) == 0:
            raise ValueError(f"a chunk needs actions of shape (T, A) with T >= 1, got {self.actions.shape}")
        if self.period_ns <= 0:
            raise ValueError(f"the period of a chunk must be positive, got {self.period_ns} ns")

    @property
    def end_ns(self) -> int:
        """Time of the last action [ns]."""
        return self.stamp_ns + (len(self.actions) - 1) * self.period_ns

    def covers(self, times_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of ``times_ns`` (K,) lie between the chunk's first and last action -> (K,)."""
        return (times_ns >= self.stamp_ns) & (times_ns <= self.end_ns)

    def at(self, times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """The actions at ``times_ns`` (K,), interpolated linearly -> (K, A); NaN outside the chunk."""
        offset_ns = times_ns - self.stamp_ns  # (K,) exact: the large stamps cancel as integers
        # Code that runs for every plan uses minimum and maximum: numpy.clip is slow on small arrays.
        last = max(len(self.actions) - 2, 0)
        step = np.minimum(np.maximum(offset_ns // self.period_ns, 0), last)  # (K,)
        following = np.minimum(step + 1, len(self.actions) - 1)  # (K,)
        fraction = (offset_ns - step * self.period_ns) / self.period_ns  # (K,)
        before, after = self.actions[step], self.actions[following]  # (K, A)
        values = before + fraction[:, None] * (after - before)  # (K, A)
        values[~self.covers(times_ns)] = np.nan
        return values

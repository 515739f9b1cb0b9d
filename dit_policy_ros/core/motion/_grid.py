# SPDX-License-Identifier: Apache-2.0
"""The fixed grid of knots on which every plan lives."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class KnotGrid:
    """Knots ``t_k = origin + k * period``, in integer nanoseconds so that no time is ever rounded twice."""

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
        """Times of the knots first..last, both included."""
        return self.origin_ns + self.period_ns * np.arange(first, last + 1, dtype=np.int64)  # (K,)

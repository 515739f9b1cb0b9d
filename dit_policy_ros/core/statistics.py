# SPDX-License-Identifier: Apache-2.0
"""Figures over the recent past, for status messages."""

import math
from collections import deque

import numpy as np


class RecentValues:
    """The last values of a quantity and their percentiles. Appending is thread-safe, as deque's is."""

    def __init__(self, size: int = 200) -> None:
        self._values: deque[float] = deque(maxlen=size)

    def add(self, value: float) -> None:
        """Take in one value, forgetting the oldest beyond the size."""
        self._values.append(value)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def newest(self) -> float:
        """The value added last; NaN before the first."""
        return self._values[-1] if self._values else math.nan

    def mean(self) -> float:
        """The mean of the recent values; NaN before the first."""
        values = tuple(self._values)
        return sum(values) / len(values) if values else math.nan

    def percentile(self, percent: float) -> float:
        """The given percentile of the recent values; NaN before the first."""
        values = tuple(self._values)
        return float(np.percentile(values, percent)) if values else math.nan


class RecentRate:
    """How often something has happened lately, by the times it is told."""

    def __init__(self, window: float = 2.0) -> None:
        self._window_ns = round(window * 1e9)
        self._times_ns: deque[int] = deque(maxlen=1000)

    def add(self, time_ns: int) -> None:
        """It happened at ``time_ns``."""
        self._times_ns.append(time_ns)

    def rate(self, now_ns: int) -> float:
        """Events per second over the window [Hz]; 0 where there are fewer than two."""
        times_ns = [t for t in tuple(self._times_ns) if now_ns - t <= self._window_ns]
        if len(times_ns) < 2 or times_ns[-1] <= times_ns[0]:
            return 0.0
        return (len(times_ns) - 1) / ((times_ns[-1] - times_ns[0]) * 1e-9)

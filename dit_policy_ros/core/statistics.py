# SPDX-License-Identifier: Apache-2.0
"""Statistics of recent values and events, for status messages."""

import math
from collections import deque

import numpy as np


class RecentValues:
    """The last values of a quantity and their percentiles. Adding is thread-safe."""

    def __init__(self, size: int = 200) -> None:
        self._values: deque[float] = deque(maxlen=size)  # append is thread-safe

    def add(self, value: float) -> None:
        """Add a value; the oldest one is dropped when there are more than ``size``."""
        self._values.append(value)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def newest(self) -> float:
        """The last value; NaN if there is none."""
        return self._values[-1] if self._values else math.nan

    def mean(self) -> float:
        """The mean of the recent values; NaN if there are none."""
        values = tuple(self._values)
        return sum(values) / len(values) if values else math.nan

    def percentile(self, percent: float) -> float:
        """A percentile (0 to 100) of the recent values; NaN if there are none."""
        values = tuple(self._values)
        return float(np.percentile(values, percent)) if values else math.nan


class RecentRate:
    """The rate of recent events."""

    def __init__(self, window: float = 2.0) -> None:
        """window: how far back events count [s]."""
        self._window_ns = round(window * 1e9)
        self._times_ns: deque[int] = deque(maxlen=1000)

    def add(self, time_ns: int) -> None:
        """Add an event at ``time_ns``."""
        self._times_ns.append(time_ns)

    def rate(self, now_ns: int) -> float:
        """Events per second within the window [Hz]; 0 if there are fewer than two."""
        times_ns = [t for t in tuple(self._times_ns) if now_ns - t <= self._window_ns]
        if len(times_ns) < 2 or times_ns[-1] <= times_ns[0]:
            return 0.0
        return (len(times_ns) - 1) / ((times_ns[-1] - times_ns[0]) * 1e-9)


class RecentBytes:
    """The bytes per second of a stream of messages. Adding is thread-safe."""

    def __init__(self, window: float = 2.0) -> None:
        """window: how far back messages count [s]."""
        self._window = window
        self._messages: deque[tuple[float, int]] = deque(maxlen=1000)

    def add(self, now: float, size: int) -> None:
        """Add a message of ``size`` bytes that came at ``now`` [s]."""
        self._messages.append((now, size))

    def per_second(self, now: float) -> float:
        """Bytes per second within the window, as of ``now`` [s]."""
        return sum(size for time, size in tuple(self._messages) if now - time <= self._window) / self._window

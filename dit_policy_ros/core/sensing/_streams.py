# SPDX-License-Identifier: Apache-2.0
"""The newest samples of one sensor stream, ordered by header stamp.

Rules for stamps, each counted in `StreamCounters`:
- Samples may arrive in any order; they are kept sorted. One with a stamp that is already held is dropped.
- A sample further in the future than `future_tolerance` is refused: its sender's clock is ahead of ours.
- If a sample that was accepted lies in the future later on, our own clock was set back (a simulation
  restarted, a bag looped). What is held belongs to another timeline, so all of it is dropped.
- A sender whose clock falls behind is not special: its stream becomes stale, since ages are by our clock.
"""

import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from dit_policy_ros.core.contract import NANOSECONDS

PATIENCE = 1.0  # [s] how long those who can wait wait for a sample that is late on its way
_DELAYS = 100
FUTURE_TOLERANCE = 0.1  # [s] clocks of machines on one network agree far better than this


@dataclass(frozen=True, slots=True)
class Sample[T]:
    """A value and the time at which it was measured [ns]."""

    stamp_ns: int
    value: T


@dataclass(frozen=True, slots=True)
class StreamCounters:
    """What became of the samples pushed so far."""

    accepted: int = 0
    out_of_order: int = 0  # accepted, but older than one that was there already
    duplicates: int = 0  # dropped: stamp already held
    late: int = 0  # dropped: older than all that is kept
    future: int = 0  # dropped: ahead of our clock
    clock_resets: int = 0  # times that everything was dropped because our clock was set back

    def since(self, earlier: "StreamCounters") -> "StreamCounters":
        """What was counted after `earlier`."""
        names = StreamCounters.__dataclass_fields__
        return StreamCounters(**{name: getattr(self, name) - getattr(earlier, name) for name in names})


class StreamBuffer[T]:
    """A bounded, sorted, thread-safe history of one stream.

    Args:
        name: what messages call the stream.
        max_age: how old the newest sample may be before the stream is stale [s].
        capacity: samples kept at most.
        keep: how far samples may lie behind the newest one [s]; None keeps as many as fit.
        topic, config_key: where it comes from and where max_age is configured, for messages.
        future_tolerance: how far a stamp may lie ahead of our clock [s].
        latency: how long before its stamp a sample was measured [s]; samples are kept by when that was.
    """

    def __init__(
        self,
        name: str,
        max_age: float,
        capacity: int,
        *,
        keep: float | None = None,
        topic: str = "",
        config_key: str = "",
        future_tolerance: float = FUTURE_TOLERANCE,
        latency: float = 0.0,
    ) -> None:
        if capacity < 1 or not max_age > 0.0:
            raise ValueError(f"stream '{name}': capacity {capacity} and max_age {max_age} must be positive")
        self.name = name
        self.max_age = max_age
        self.topic = topic
        self.config_key = config_key
        self._capacity = capacity
        self._keep_ns = None if keep is None else round(keep * NANOSECONDS)
        self._tolerance_ns = round(future_tolerance * NANOSECONDS)
        self._latency_ns = round(latency * NANOSECONDS)
        self._lock = threading.Lock()
        self._stamps: list[int] = []
        self._values: list[T] = []
        self._delays_ns: deque[int] = deque(maxlen=_DELAYS)  # of the recent samples
        self._counters = StreamCounters()
        # Asked before every reading to push what has come; None where samples are pushed as they come.
        self.source: Callable[[], None] | None = None

    def __len__(self) -> int:
        self._take_in()
        return len(self._stamps)

    @property
    def counters(self) -> StreamCounters:
        """What became of the samples pushed so far."""
        self._take_in()
        return self._counters

    @property
    def newest_stamp_ns(self) -> int | None:
        """Stamp of the newest sample [ns]; None while there is none."""
        self._take_in()
        with self._lock:
            return self._stamps[-1] if self._stamps else None

    def push(self, stamp_ns: int, value: T, now_ns: int | None = None) -> bool:
        """Adds a sample; False if it was dropped. Given our clock `now_ns`, the future is refused."""
        with self._lock:
            if now_ns is not None:
                self._drop_other_timeline(now_ns)
                self._delays_ns.append(now_ns - stamp_ns)
                if stamp_ns > now_ns + self._tolerance_ns:
                    return self._dropped("future")
            stamp_ns -= self._latency_ns
            index = bisect_left(self._stamps, stamp_ns)
            if index < len(self._stamps) and self._stamps[index] == stamp_ns:
                return self._dropped("duplicates")
            newest = index == len(self._stamps)
            if not newest and self._is_late(stamp_ns, index):
                return self._dropped("late")
            self._stamps.insert(index, stamp_ns)
            self._values.insert(index, value)
            self._trim()
            counters = self._counters
            self._counters = replace(
                counters,
                accepted=counters.accepted + 1,
                out_of_order=counters.out_of_order + (0 if newest else 1),
            )
            return True

    def least_delay(self) -> float | None:
        """From stamp to arrival, of the quickest recent sample [s]: what the clocks differ, and a little."""
        self._take_in()
        with self._lock:
            return min(self._delays_ns) / NANOSECONDS if self._delays_ns else None

    def drop_other_timeline(self, now_ns: int) -> bool:
        """Drops everything if our clock [ns] was set back since it came; True if it did."""
        with self._lock:
            return self._drop_other_timeline(now_ns)

    def latest_at(self, stamp_ns: int) -> Sample[T] | None:
        """The newest sample at or before a time [ns]; None if all are later."""
        return self.bracket(stamp_ns)[0]

    def oldest(self) -> Sample[T] | None:
        """The oldest sample held; None while there is none."""
        self._take_in()
        with self._lock:
            return self._sample(0) if self._stamps else None

    def newest(self) -> Sample[T] | None:
        """The newest sample held; None while there is none."""
        self._take_in()
        with self._lock:
            return self._sample(len(self._stamps) - 1) if self._stamps else None

    def bracket(self, stamp_ns: int) -> tuple[Sample[T] | None, Sample[T] | None]:
        """The newest sample at or before a time [ns] and the oldest after it; None where there is none."""
        self._take_in()
        with self._lock:
            index = bisect_right(self._stamps, stamp_ns)
            before = self._sample(index - 1) if index > 0 else None
            after = self._sample(index) if index < len(self._stamps) else None
            return before, after

    def clear(self) -> None:
        """Drops all samples; the counters go on."""
        self._take_in()
        with self._lock:
            self._stamps.clear()
            self._values.clear()

    def _take_in(self) -> None:
        if self.source is not None:
            self.source()

    def _sample(self, index: int) -> Sample[T]:
        return Sample(self._stamps[index], self._values[index])

    def _is_late(self, stamp_ns: int, index: int) -> bool:
        if index == 0 and len(self._stamps) >= self._capacity:
            return True
        return self._keep_ns is not None and stamp_ns < self._stamps[-1] - self._keep_ns

    def _trim(self) -> None:
        excess = max(0, len(self._stamps) - self._capacity)
        if self._keep_ns is not None:
            excess = max(excess, bisect_left(self._stamps, self._stamps[-1] - self._keep_ns))
        if excess:
            del self._stamps[:excess]
            del self._values[:excess]

    def _drop_other_timeline(self, now_ns: int) -> bool:
        if not self._stamps or self._stamps[-1] <= now_ns + self._tolerance_ns:
            return False
        self._stamps.clear()
        self._values.clear()
        self._delays_ns.clear()
        self._counters = replace(self._counters, clock_resets=self._counters.clock_resets + 1)
        return True

    def _dropped(self, counter: str) -> bool:
        self._counters = replace(self._counters, **{counter: getattr(self._counters, counter) + 1})
        return False

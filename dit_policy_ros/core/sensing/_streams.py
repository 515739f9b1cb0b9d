# SPDX-License-Identifier: Apache-2.0
"""A buffer for the newest samples of one sensor stream, sorted by header stamp.

Rules for stamps, each counted in `StreamCounters`:
- Samples may arrive in any order; they are kept sorted. A second sample with the same stamp is dropped.
- A sample further in the future than `future_tolerance` is dropped: its sender's clock is ahead of ours, or
  its latency is wrong.
- If an accepted sample is in the future later on, our own clock was set back (a simulation restarted, a bag
  looped). All buffered samples belong to the old timeline and are dropped.
- If a sender's clock falls behind, its stream becomes stale, because ages are measured with our clock.
- A sample that cannot be used (a cut image, a joint that is missing) is refused: it never comes in, or it is
  discarded as soon as that is known. Others are not affected. If no good one follows, the stream becomes
  stale.
"""

import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.sensing._clock_offset import ClockOffset

LATE_SAMPLE_TIMEOUT = 1.0  # [s] how long recording waits for a delayed sample
FUTURE_TOLERANCE = 0.1  # [s] the clocks of machines on one network agree much better than this
_REMEMBERED = 1000  # dropped samples


@dataclass(frozen=True, slots=True)
class Sample[T]:
    """A value and the time when it was measured [ns]."""

    stamp_ns: int
    value: T


@dataclass(frozen=True, slots=True)
class StreamCounters:
    """How many of the pushed samples were accepted and dropped, and why."""

    accepted: int = 0
    out_of_order: int = 0  # accepted, although a newer one had arrived before
    duplicates: int = 0  # dropped: there is a sample with this stamp
    late: int = 0  # dropped: older than the buffer reaches back
    future: int = 0  # dropped: ahead of our clock
    refused: int = 0  # dropped: it cannot be used, whatever its stamp
    clock_resets: int = 0  # times that all samples were dropped because our clock was set back

    def lost(self) -> dict[str, int]:
        """By reason, the counts of dropped samples that are missing; reasons without any are left out."""
        counts = {"refused": self.refused, "late": self.late, "future": self.future}
        return {name: count for name, count in counts.items() if count}

    def since(self, earlier: "StreamCounters") -> "StreamCounters":
        """The counts since `earlier`."""
        names = StreamCounters.__dataclass_fields__
        return StreamCounters(**{name: getattr(self, name) - getattr(earlier, name) for name in names})


@dataclass(frozen=True, slots=True)
class DroppedSample:
    """A sample that was dropped. kind: the counter's name. reason: why a refused one cannot be used.

    stamp_ns: 0 for a refused one.
    """

    kind: str
    stamp_ns: int
    now_ns: int  # when it was dropped, by our clock
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """The settings of a StreamBuffer.

    Attributes:
        name: of the stream, for messages.
        max_age: how old the newest sample may be before the stream is stale [s].
        capacity: the largest number of samples.
        keep: how much older than the newest sample others may be [s]; None keeps all that fit.
        topic: where the samples come from, for messages.
        config_key: where max_age is configured, for messages.
        future_tolerance: how far a stamp may be ahead of our clock [s].
        latency: time from the measurement to the stamp [s]; samples are sorted by the time of measurement.
    """

    name: str
    max_age: float
    capacity: int
    keep: float | None = None
    topic: str = ""
    config_key: str = ""
    future_tolerance: float = FUTURE_TOLERANCE
    latency: float = 0.0

    def __post_init__(self) -> None:
        if self.capacity < 1 or not self.max_age > 0.0:
            raise ValueError(
                f"stream '{self.name}': capacity {self.capacity} and max_age {self.max_age} must be positive"
            )


class StreamBuffer[T]:
    """A bounded, sorted, thread-safe history of one stream.

    Attributes:
        settings: see StreamSettings.
        before_read: called before every read to push samples that are waiting elsewhere; None by default.
        is_suspect: whether the newest samples may be unusable, so that the next one is worth a thorough look:
            at the beginning, and after one was refused.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self.settings = settings
        self.before_read: Callable[[], None] | None = None
        self.is_suspect = True
        self._keep_ns = None if settings.keep is None else round(settings.keep * NANOSECONDS)
        self._tolerance_ns = round(settings.future_tolerance * NANOSECONDS)
        self._latency_ns = round(settings.latency * NANOSECONDS)
        self._lock = threading.Lock()
        self._stamps: list[int] = []
        self._values: list[T] = []
        self._clock_offset = ClockOffset()
        self._counters = StreamCounters()
        self._arrived_ns: int | None = None  # when the newest sample was accepted, by our clock
        self._refusal = ""
        self._dropped: deque[DroppedSample] = deque(maxlen=_REMEMBERED)  # oldest first

    def __len__(self) -> int:
        self._pull()
        return len(self._stamps)

    @property
    def name(self) -> str:
        """Name of the stream."""
        return self.settings.name

    @property
    def topic(self) -> str:
        """Topic of the stream; of joint states, maybe several with ", " between them."""
        return self.settings.topic

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of the stream."""
        return tuple(self.topic.split(", "))

    @property
    def max_age(self) -> float:
        """How old the newest sample may be [s]."""
        return self.settings.max_age

    @property
    def counters(self) -> StreamCounters:
        """How many samples were accepted and dropped so far."""
        self._pull()
        return self._counters

    @property
    def newest_stamp_ns(self) -> int | None:
        """Stamp of the newest sample [ns]; None if there is none."""
        self._pull()
        with self._lock:
            return self._stamps[-1] if self._stamps else None

    def push(self, stamp_ns: int, value: T, now_ns: int | None = None) -> bool:
        """Adds a sample; False if it was dropped.

        Args:
            stamp_ns: its stamp [ns].
            value: of the sample.
            now_ns: present time by our clock [ns]; None does not check for stamps in the future.
        """
        with self._lock:
            if now_ns is not None:
                self._drop_if_clock_set_back(now_ns)
                self._clock_offset.add(stamp_ns, now_ns)
            stamp_ns -= self._latency_ns
            # By the time of measurement: a stream with a wrong latency must not look like a clock set back.
            if now_ns is not None and stamp_ns > now_ns + self._tolerance_ns:
                return self._drop("future", stamp_ns, now_ns)
            index = bisect_left(self._stamps, stamp_ns)
            if index < len(self._stamps) and self._stamps[index] == stamp_ns:
                return self._drop("duplicates", stamp_ns, now_ns)
            newest = index == len(self._stamps)
            if not newest and self._is_late(stamp_ns, index):
                return self._drop("late", stamp_ns, now_ns)
            self._stamps.insert(index, stamp_ns)
            self._values.insert(index, value)
            self._trim()
            self._arrived_ns = now_ns
            counters = self._counters
            self._counters = replace(
                counters,
                accepted=counters.accepted + 1,
                out_of_order=counters.out_of_order + (0 if newest else 1),
            )
            return True

    @property
    def refusal(self) -> str:
        """Why the last refused sample could not be used; empty if none was refused."""
        return self._refusal

    def refuse(self, reason: str, now_ns: int) -> None:
        """Counts a sample that came at `now_ns` [ns] and cannot be used; `reason` says why."""
        with self._lock:
            self._refuse(reason, now_ns)

    def discard(self, value: T, reason: str) -> None:
        """Takes out the sample with this very value, which proved unusable. Does nothing if it is gone."""
        with self._lock:
            for index in reversed(range(len(self._values))):
                if self._values[index] is value:
                    break
            else:
                return
            is_newest, dropped_ns = index == len(self._values) - 1, self._arrived_ns
            if dropped_ns is None:
                dropped_ns = self._stamps[index]
            del self._stamps[index], self._values[index]
            if is_newest:
                self._arrived_ns = None
            self._counters = replace(self._counters, accepted=self._counters.accepted - 1)
            self._refuse(reason, dropped_ns)

    @property
    def newest_arrival_ns(self) -> int | None:
        """When the newest sample was accepted, by our clock [ns]; None if that is not known."""
        return self._arrived_ns

    def dropped_since(self, now_ns: int | None) -> list[DroppedSample]:
        """The samples dropped after a time by our clock [ns], oldest first; None: all. At most 1000."""
        with self._lock:
            return [each for each in self._dropped if now_ns is None or each.now_ns > now_ns]

    def clock_offset(self) -> float | None:
        """How far the sender's clock is behind ours [s], with the quickest transport; see ClockOffset."""
        self._pull()
        with self._lock:
            return self._clock_offset.seconds

    def drop_if_clock_set_back(self, now_ns: int) -> bool:
        """Drops all samples if our clock, now at ``now_ns``, was set back since they arrived; True if so."""
        with self._lock:
            return self._drop_if_clock_set_back(now_ns)

    def latest_at(self, stamp_ns: int) -> Sample[T] | None:
        """The newest sample at or before a time [ns]; None if there is none."""
        return self.bracket(stamp_ns)[0]

    def oldest(self) -> Sample[T] | None:
        """The oldest sample; None if there is none."""
        self._pull()
        with self._lock:
            return self._sample(0) if self._stamps else None

    def newest(self) -> Sample[T] | None:
        """The newest sample; None if there is none."""
        self._pull()
        with self._lock:
            return self._sample(len(self._stamps) - 1) if self._stamps else None

    def bracket(self, stamp_ns: int) -> tuple[Sample[T] | None, Sample[T] | None]:
        """The newest sample at or before a time [ns] and the oldest one after it; None for a missing one."""
        self._pull()
        with self._lock:
            index = bisect_right(self._stamps, stamp_ns)
            before = self._sample(index - 1) if index > 0 else None
            after = self._sample(index) if index < len(self._stamps) else None
            return before, after

    def copy(self, convert: Callable[[T], T]) -> "StreamBuffer[T]":
        """A buffer with the same samples, stamps and counts, each value converted."""
        copied = StreamBuffer[T](self.settings)
        with self._lock:
            copied._stamps, copied._values = list(self._stamps), [convert(value) for value in self._values]
            copied._counters, copied._clock_offset = self._counters, deepcopy(self._clock_offset)
            copied._arrived_ns, copied._dropped = self._arrived_ns, self._dropped.copy()
        return copied

    def clear(self) -> None:
        """Drops all samples and keeps the counters."""
        self._pull()
        with self._lock:
            self._stamps.clear()
            self._values.clear()

    def _pull(self) -> None:
        if self.before_read is not None:
            self.before_read()

    def _sample(self, index: int) -> Sample[T]:
        return Sample(self._stamps[index], self._values[index])

    def _is_late(self, stamp_ns: int, index: int) -> bool:
        if index == 0 and len(self._stamps) >= self.settings.capacity:
            return True
        return self._keep_ns is not None and stamp_ns < self._stamps[-1] - self._keep_ns

    def _trim(self) -> None:
        excess = max(0, len(self._stamps) - self.settings.capacity)
        if self._keep_ns is not None:
            excess = max(excess, bisect_left(self._stamps, self._stamps[-1] - self._keep_ns))
        if excess:
            del self._stamps[:excess]
            del self._values[:excess]

    def _drop_if_clock_set_back(self, now_ns: int) -> bool:
        if not self._stamps or self._stamps[-1] <= now_ns + self._tolerance_ns:
            return False
        self._stamps.clear()
        self._values.clear()
        self._dropped.clear()
        self._arrived_ns = None
        self._clock_offset.clear()
        self._counters = replace(self._counters, clock_resets=self._counters.clock_resets + 1)
        return True

    def _refuse(self, reason: str, now_ns: int) -> None:
        self.is_suspect, self._refusal = True, reason
        self._drop("refused", 0, now_ns, reason)

    def _drop(self, counter: str, stamp_ns: int, now_ns: int | None, reason: str = "") -> bool:
        self._counters = replace(self._counters, **{counter: getattr(self._counters, counter) + 1})
        if now_ns is not None:
            self._dropped.append(DroppedSample(counter, stamp_ns, now_ns, reason))
        return False

# SPDX-License-Identifier: Apache-2.0
"""Streams sort their samples by stamp, in whatever order they arrive."""

import threading
import weakref
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_policy_ros.core.sensing import StreamBuffer, StreamSettings

SECOND = 1_000_000_000

stamps = st.lists(st.integers(0, 10 * SECOND), min_size=1, max_size=40, unique=True)


def make(capacity: int = 1000, keep: float | None = None) -> StreamBuffer[int]:
    return StreamBuffer(StreamSettings("camera", 0.2, capacity, keep=keep))


def stamps_in(buffer: StreamBuffer[int]) -> list[int]:
    found, time = [], 100 * SECOND
    while (sample := buffer.latest_at(time)) is not None:
        assert sample.value == -sample.stamp_ns
        found.append(sample.stamp_ns)
        time = sample.stamp_ns - 1
    return found[::-1]


@settings(deadline=None)
@given(stamps, st.randoms(use_true_random=False))
def test_arrival_order_does_not_matter(arrivals: list[int], random) -> None:
    buffer = make()
    random.shuffle(arrivals)
    for stamp in arrivals:
        assert buffer.push(stamp, -stamp)
    assert stamps_in(buffer) == sorted(arrivals)
    assert buffer.newest_stamp_ns == max(arrivals)
    assert buffer.counters.accepted == len(arrivals)


@settings(deadline=None)
@given(stamps, st.integers(0, 10 * SECOND))
def test_latest_at_is_the_last_at_or_before(arrivals: list[int], time: int) -> None:
    buffer = make()
    for stamp in arrivals:
        buffer.push(stamp, -stamp)
    before = [stamp for stamp in arrivals if stamp <= time]
    after = [stamp for stamp in arrivals if stamp > time]
    sample = buffer.latest_at(time)
    assert (sample.stamp_ns if sample else None) == (max(before) if before else None)
    left, right = buffer.bracket(time)
    assert left == sample
    assert (right.stamp_ns if right else None) == (min(after) if after else None)


@settings(deadline=None)
@given(stamps, st.integers(1, 10))
def test_memory_is_bounded_and_the_newest_stay(arrivals: list[int], capacity: int) -> None:
    buffer = make(capacity)
    for stamp in arrivals:
        buffer.push(stamp, -stamp)
        assert len(buffer) <= capacity
    assert stamps_in(buffer) == sorted(arrivals)[-capacity:]


@settings(deadline=None)
@given(stamps)
def test_keep_bounds_the_time_span(arrivals: list[int]) -> None:
    buffer = make(keep=1.0)
    for stamp in arrivals:
        buffer.push(stamp, -stamp)
    assert stamps_in(buffer) == sorted(stamp for stamp in arrivals if stamp >= max(arrivals) - SECOND)


def test_a_repeated_stamp_is_dropped_and_counted() -> None:
    buffer = make()
    assert buffer.push(5, -5)
    assert not buffer.push(5, 99)
    assert stamps_in(buffer) == [5]
    assert buffer.counters.duplicates == 1


def test_accepted_and_dropped_samples_are_counted() -> None:
    buffer = make(capacity=2)
    for stamp in (10, 20, 15, 20, 1):
        buffer.push(stamp, -stamp, now_ns=20)
    buffer.push(SECOND, 0, now_ns=20)
    assert asdict(buffer.counters) == {
        "accepted": 3,
        "out_of_order": 1,
        "duplicates": 1,
        "late": 1,
        "future": 1,
        "refused": 0,
        "clock_resets": 0,
    }


def test_stamps_in_the_future_are_dropped_beyond_the_tolerance() -> None:
    buffer = StreamBuffer(StreamSettings("camera", 0.2, 10, future_tolerance=0.1))
    assert buffer.push(SECOND + SECOND // 10, 0, now_ns=SECOND)
    assert not buffer.push(SECOND + SECOND // 10 + 1, 0, now_ns=SECOND)
    assert buffer.counters.future == 1


def test_a_clock_set_back_drops_the_old_timeline() -> None:
    buffer = make()
    for stamp in range(5 * SECOND, 6 * SECOND, SECOND // 10):
        buffer.push(stamp, -stamp, now_ns=stamp)
    assert buffer.push(SECOND, -SECOND, now_ns=SECOND)
    assert stamps_in(buffer) == [SECOND]
    newest = buffer.newest()
    assert newest is not None and newest.value == -SECOND
    assert buffer.counters.clock_resets == 1


def test_a_clock_set_back_frees_the_old_images() -> None:
    class Image:
        pass

    buffer, image = make(), Image()
    freed = weakref.ref(image)
    buffer.push(5 * SECOND, image, now_ns=5 * SECOND)
    del image
    buffer.drop_if_clock_set_back(SECOND)
    assert freed() is None and len(buffer) == 0


def test_a_senders_clock_that_falls_behind_drops_nothing() -> None:
    buffer = make()
    buffer.push(5 * SECOND, -5 * SECOND, now_ns=5 * SECOND)
    buffer.push(SECOND, -SECOND, now_ns=5 * SECOND)
    assert buffer.newest_stamp_ns == 5 * SECOND
    assert buffer.counters.clock_resets == 0


def test_clear_drops_the_samples_and_keeps_the_counters() -> None:
    buffer = make()
    buffer.push(1, -1)
    buffer.clear()
    assert buffer.newest_stamp_ns is None
    assert buffer.oldest() is None
    assert buffer.bracket(1) == (None, None)
    assert buffer.counters.accepted == 1


@pytest.mark.parametrize(("max_age", "capacity"), [(0.0, 1), (float("nan"), 1), (0.1, 0)])
def test_invalid_settings_are_refused(max_age: float, capacity: int) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        StreamBuffer(StreamSettings("camera", max_age, capacity))


def test_concurrent_writers_and_readers_see_consistent_samples() -> None:
    buffer = make(capacity=50)
    wrong: list[str] = []

    def write(offset: int) -> None:
        for index in range(500):
            buffer.push(4 * index + offset, -(4 * index + offset))

    def read() -> None:
        for time in range(2000):
            before, after = buffer.bracket(time)
            if before is not None and not (before.stamp_ns <= time and before.value == -before.stamp_ns):
                wrong.append(f"{before} at {time}")
            if after is not None and after.stamp_ns <= time:
                wrong.append(f"{after} at {time}")

    threads = [threading.Thread(target=write, args=(offset,)) for offset in range(4)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert stamps_in(buffer) == list(range(1950, 2000))


def test_the_quickest_messages_show_the_clock_offset_whatever_single_ones_say():
    stream = StreamBuffer(StreamSettings("joints", max_age=1.0, capacity=10))
    assert stream.clock_offset() is None
    for k in range(200):  # 100 Hz; waiting adds up to 30 ms
        stream.push(k * 10_000_000, k, k * 10_000_000 + 12_000_000 + (k * 7 % 4) * 10_000_000)
    assert stream.clock_offset() == pytest.approx(0.012)
    stream.push(2 * SECOND + 200_000_000, 9, 2 * SECOND)
    assert stream.counters.future == 1
    assert stream.clock_offset() == pytest.approx(0.012), "one wrong stamp is not the clock"
    for k in range(200, 300):
        stream.push(k * 10_000_000 - 80_000_000, k, k * 10_000_000 + 12_000_000)
    assert stream.clock_offset() == pytest.approx(0.092), "the sender's clock was set back"


@pytest.mark.parametrize("latency", [-0.2, -1.0, 0.2])
def test_a_latency_never_looks_like_a_clock_that_was_set_back(latency):
    stream = StreamBuffer(StreamSettings("top", max_age=1.0, capacity=10, latency=latency))
    for k in range(30):  # images arrive 20 ms after their stamp
        stream.push(k * 33_000_000, k, k * 33_000_000 + 20_000_000)
    counters = stream.counters
    assert counters.clock_resets == 0
    # An image that would be from the future shows a wrong latency. It is refused, and counted as such.
    assert (counters.accepted, counters.future) == ((30, 0) if latency > 0.0 else (0, 30))


def test_a_negative_latency_corrects_a_camera_whose_stamps_lag():
    stream = StreamBuffer(StreamSettings("top", max_age=1.0, capacity=100, latency=-0.3))
    for k in range(30):
        stream.push(k * 33_000_000, k, k * 33_000_000 + 320_000_000)
    assert stream.counters.accepted == 30 and stream.newest_stamp_ns == 29 * 33_000_000 + 300_000_000


def test_before_read_is_called_before_every_read() -> None:
    reads = {
        "len": len,
        "counters": lambda buffer: buffer.counters.accepted,
        "newest stamp": lambda buffer: buffer.newest_stamp_ns,
        "newest": lambda buffer: buffer.newest(),
        "oldest": lambda buffer: buffer.oldest(),
        "latest": lambda buffer: buffer.latest_at(10 * SECOND),
        "bracket": lambda buffer: buffer.bracket(10 * SECOND)[0],
        "delay": lambda buffer: buffer.clock_offset(),
    }
    for name, read in reads.items():
        buffer, waiting = make(), [SECOND]
        buffer.before_read = lambda buffer=buffer, waiting=waiting: [
            buffer.push(waiting.pop(), -SECOND, SECOND) for _ in waiting[:]
        ]
        assert read(buffer) not in (None, 0) or name == "delay", name
        assert not waiting, name
    buffer, waiting = make(), [SECOND]
    buffer.before_read = lambda: [buffer.push(waiting.pop(), -SECOND) for _ in waiting[:]]
    buffer.clear()
    assert not waiting and buffer.newest_stamp_ns is None, "waiting samples are dropped, too"

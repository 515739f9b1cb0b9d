# SPDX-License-Identifier: Apache-2.0
"""A stream without fresh samples says whether it is silent, or what is wrong with the samples that come."""

import numpy as np
import pytest

from dit_policy_ros.core.sensing import StreamBuffer, StreamSettings, stale_reason, unusable_reason

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND
KEPT = 2.0  # [s]


def make(latency: float = 0.0) -> StreamBuffer:
    settings = StreamSettings("top", 0.5, 100, KEPT, "top/image", "cameras.top.max_age", latency=latency)
    return StreamBuffer(settings)


def at_30_hz(stream: StreamBuffer, stamp_of, begin: float = 0.0, seconds: float = 3.0) -> int:
    """Samples from `begin` [s] on, with stamps that `stamp_of` makes of their time; the time at the end."""
    now = NOW
    for number in range(int(seconds * 30)):
        now = NOW + round((begin + number / 30) * SECOND)
        stream.push(stamp_of(now), number, now)
    return now


@pytest.mark.parametrize(
    ("stamp_of", "words"),
    [
        (lambda now: 0, "their stamp is 0: the driver does not set header.stamp"),
        (lambda now: now - NOW + 5000 * SECOND, "stamps are of another clock (the last is 500"),
        (lambda now: now - 60 * SECOND, "the last was stamped 60.0"),
        (lambda now: NOW, "whose stamp was there before"),
        (lambda now: now + 5 * SECOND, "from the future; synchronise the clocks"),
    ],
    ids=["zero", "since boot", "late", "repeated", "future"],
)
@pytest.mark.parametrize("worked_before", [False, True])
def test_samples_with_wrong_stamps_are_not_taken_for_silence(stamp_of, words, worked_before) -> None:
    stream = make()
    if worked_before:
        at_30_hz(stream, lambda now: now, begin=-3.0)
    reason = stale_reason(stream, at_30_hz(stream, stamp_of))
    assert reason is not None and words in reason
    assert "is its publisher running" not in reason


def test_a_silent_stream_is_silent() -> None:
    stream = make()
    assert stale_reason(stream, NOW).endswith("is its publisher running, and is the topic right?")
    now = at_30_hz(stream, lambda now: now)
    assert stale_reason(stream, now) is None
    assert stale_reason(stream, now + SECOND).endswith(
        "newest sample is 1.000 s old, cameras.top.max_age is 0.5 s"
    )


def test_refused_samples_give_the_reason_once_no_good_one_is_left() -> None:
    stream = make()
    stream.refuse("image is empty", NOW)
    assert "nothing received but 1 message that cannot be used: image is empty" in stale_reason(stream, NOW)
    now = at_30_hz(stream, lambda now: now)
    for number in range(1, 31):
        stream.refuse("image is cut", now + number * SECOND // 30)
        reason = stale_reason(stream, now + number * SECOND // 30)
        assert (reason is None) == (number <= 15), "one bad image, and some, are no fault"
        assert unusable_reason(stream, now + number * SECOND // 30) == reason
    assert "Since then came 30 messages that cannot be used: image is cut" in reason
    later = now + 5 * SECOND
    assert unusable_reason(stream, later) is None, "now it is silent"
    assert "30 messages that cannot be used" in stale_reason(stream, later)


def test_a_discarded_sample_gives_way_to_the_one_before() -> None:
    stream = make()
    values = [np.zeros(2), np.zeros(2), np.zeros(2)]  # equal, but told apart
    for number, value in enumerate(values):
        stream.push(NOW + number, value, NOW + number)
    stream.discard(values[2], "cannot be decoded")
    stream.discard(values[2], "cannot be decoded")
    assert stream.newest().value is values[1]
    assert (stream.counters.accepted, stream.counters.refused, stream.refusal) == (2, 1, "cannot be decoded")
    stream.discard(values[0], "neither")
    assert len(stream) == 1 and stream.newest().value is values[1]
    assert "Since then came 1 message that cannot be used: cannot" in stale_reason(stream, NOW + SECOND)


def test_a_clock_that_is_set_back_forgets_what_was_dropped() -> None:
    stream = make()
    now = at_30_hz(stream, lambda now: now)
    stream.refuse("image is cut", now)
    stream.drop_if_clock_set_back(now - 10 * SECOND)
    assert stream.dropped_since(None) == []

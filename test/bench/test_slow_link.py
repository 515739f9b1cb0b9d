# SPDX-License-Identifier: Apache-2.0
"""The slow cable of the remote tests delays, loses and limits as it says."""

import pytest
from slow_link import Direction, Impairment

FRAME = bytes(1250)  # 10 kbit


def arrivals(impairment: Impairment, sent: list[float]) -> list[float]:
    """When frames that are sent at these times [s] arrive."""
    direction = Direction(impairment, seed=0)
    found: list[float] = []

    def receive(until: float) -> None:
        while (when := direction.next_arrival) < until:
            found.extend([when] * len(direction.arrived(when)))

    for when in sent:
        receive(when)
        direction.send(FRAME, when)
    receive(float("inf"))
    return found


def test_each_frame_is_late_by_the_delay_within_its_jitter():
    sent = [0.1 * n for n in range(200)]
    late = [a - s for a, s in zip(arrivals(Impairment(0.02, 0.005, 0.0, 1e12), sent), sent, strict=True)]
    assert 0.015 <= min(late) < 0.017 and 0.023 < max(late) <= 0.025 + 1e-6


def test_the_share_of_frames_is_lost():
    found = arrivals(Impairment(0.02, 0.0, 0.1, 1e12), [0.1 * n for n in range(2000)])
    assert 1720 < len(found) < 1880


def test_frames_at_once_leave_at_the_rate_and_a_long_queue_drops():
    found = arrivals(Impairment(0.02, 0.0, 0.0, 100e6), [0.0] * 1500)
    assert len(found) == 1000
    assert found[0] == pytest.approx(0.0201) and found[-1] == pytest.approx(0.02 + 0.1)

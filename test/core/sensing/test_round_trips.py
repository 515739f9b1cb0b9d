# SPDX-License-Identifier: Apache-2.0
"""The clocks' difference is found from round trips, however unevenly they are delayed."""

import numpy as np
import pytest

from dit_policy_ros.core.sensing import RoundTrips

MS = 1_000_000


def trips(offset_ns: int, there: np.ndarray, back: np.ndarray, gap_ns: int = 50 * MS) -> RoundTrips:
    """Round trips to a clock that is `offset_ns` behind ours, with delays there and back [ns]."""
    made, now = RoundTrips(), 1_700_000_000_000 * MS
    for one, other in zip(there, back, strict=True):
        received = now + int(one) - offset_ns
        answered = received + 30 * MS  # it waits for its next sign of life
        made.add(now, received, answered, answered + offset_ns + int(other))
        now = answered + offset_ns + int(other) + gap_ns
    return made


@pytest.mark.parametrize("offset_ms", [-200, -1, 0, 3, 500])
def test_the_offset_is_found_among_delayed_messages(offset_ms):
    rng = np.random.default_rng(0)
    made = trips(offset_ms * MS, rng.integers(2 * MS, 60 * MS, 90), rng.integers(2 * MS, 60 * MS, 90))
    assert made.offset == pytest.approx(offset_ms * 1e-3, abs=0.01)
    assert 0.004 <= made.seconds <= 0.03


def test_delays_in_one_direction_are_not_taken_for_a_certain_offset():
    made = trips(0, np.full(20, 400 * MS), np.full(20, MS))
    assert made.offset == pytest.approx(-0.1995, abs=1e-4)
    assert made.smallest_offset == pytest.approx(0.0, abs=0.002)
    assert trips(300 * MS, np.full(9, 5 * MS), np.full(9, 5 * MS)).smallest_offset == pytest.approx(0.295)


def test_trips_that_a_set_clock_has_spoilt_do_not_count():
    made = RoundTrips()
    made.add(1000 * MS, 900 * MS, 950 * MS, 1001 * MS)
    assert made.offset is None, "shorter than the other side's time"
    made.add(1000 * MS, 1000 * MS, 1010 * MS, 1012 * MS)
    assert made.offset is not None
    made.add(500 * MS, 1502 * MS, 1510 * MS, 512 * MS)
    assert made.offset == pytest.approx(-1.0, abs=1e-9), "older ones are forgotten: our clock was set back"


def test_only_recent_trips_count():
    quick, slow = [MS] * 2, [20 * MS] * 100
    made = trips(0, np.array(quick + slow), np.array(quick + slow), gap_ns=100 * MS)
    assert made.seconds == pytest.approx(0.04)

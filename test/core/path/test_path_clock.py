# SPDX-License-Identifier: Apache-2.0
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_helpers import PERIOD_NS, T0_NS

from dit_policy_ros.core.path._path_clock import PathClock


def test_at_full_speed_the_path_time_is_the_time() -> None:
    clock = PathClock(T0_NS)
    times_ns = T0_NS + np.array([-5_000_000_000, -1, 0, 1, 7_000_000_003])
    np.testing.assert_array_equal(clock.at(times_ns), times_ns)
    np.testing.assert_array_equal(clock.time_of(times_ns), times_ns)


def test_after_the_last_known_knot_the_path_time_goes_on_at_the_rate() -> None:
    clock = PathClock(T0_NS)
    clock.rate = 0.25
    np.testing.assert_array_equal(clock.at(np.array([T0_NS - 400, T0_NS + 400])), [T0_NS - 400, T0_NS + 100])
    clock.extend(T0_NS + np.array([0, 1000]), T0_NS + np.array([0, 600]))
    np.testing.assert_array_equal(clock.at(T0_NS + np.array([500, 1400])), T0_NS + np.array([300, 700]))
    np.testing.assert_array_equal(clock.time_of(T0_NS + np.array([300, 700])), T0_NS + np.array([500, 1400]))


def test_what_was_planned_later_is_forgotten_and_what_was_executed_stays() -> None:
    clock = PathClock(T0_NS)
    clock.extend(T0_NS + np.array([0, 1000, 2000]), T0_NS + np.array([0, 800, 1000]))
    clock.extend(T0_NS + np.array([1000, 3000]), T0_NS + np.array([800, 2800]))
    np.testing.assert_array_equal(
        clock.at(T0_NS + np.array([500, 1000, 2000, 4000])), T0_NS + np.array([400, 800, 1800, 3800])
    )


@settings(max_examples=50, deadline=None)
@given(rates=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=40), last=st.floats(0.05, 1.0))
def test_the_time_of_a_path_time_is_the_inverse(rates: list[float], last: float) -> None:
    clock = PathClock(T0_NS)
    clock.rate = last
    path = np.concatenate([[0.0], np.cumsum(rates)]) * PERIOD_NS
    times_ns = T0_NS + PERIOD_NS * np.arange(len(path), dtype=np.int64)
    clock.extend(times_ns, T0_NS + np.rint(path).astype(np.int64))
    query = T0_NS + np.linspace(-PERIOD_NS, 60 * PERIOD_NS, 200).astype(np.int64)
    assert np.abs(clock.time_of(clock.at(query)) - query).max() <= 2 / min([last, *rates]) + 1
    assert (np.diff(clock.at(query)) >= 0).all()


def test_the_memory_is_bounded_and_old_stamps_keep_their_offset() -> None:
    clock = PathClock(T0_NS)
    for i in range(1000):
        times_ns = T0_NS + i * 100_000_000 + np.array([0, 100_000_000])
        clock.extend(times_ns, T0_NS + i * 50_000_000 + np.array([0, 50_000_000]))
    now_ns = T0_NS + 1000 * 100_000_000
    assert len(clock._known.times_ns) < 110
    assert clock.at(np.array([now_ns]))[0] == T0_NS + 1000 * 50_000_000

# SPDX-License-Identifier: Apache-2.0
"""Simulated time beside a clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dit_policy_ros.sim.robot import STEP_NS, RealTimeFactor, advance
from dit_policy_ros.sim.robot._real_time import MAX_LAG_NS


@given(st.integers(0, 2**62), st.integers(-MAX_LAG_NS, MAX_LAG_NS))
def test_simulated_time_catches_up_with_the_clock_and_never_passes_it(now_ns, lag_ns):
    todo = advance(now_ns, now_ns - lag_ns)
    assert todo.skip_ns == 0
    remaining = lag_ns - todo.steps * STEP_NS
    assert remaining < STEP_NS
    assert remaining >= min(0, lag_ns)


@given(st.integers(0, 2**62), st.integers(MAX_LAG_NS + 1, 10**12), st.sampled_from([1, -1]))
def test_a_jump_moves_the_epoch_without_extra_steps(now_ns, distance_ns, sign):
    todo = advance(now_ns, now_ns - sign * distance_ns)
    assert todo.steps == 0
    assert todo.skip_ns == sign * distance_ns


def test_real_time_factor():
    factor = RealTimeFactor()
    assert factor.value == 0.0
    for i in range(1000):
        factor.mark(i * 10_000_000, i * 10_000_000)
    assert factor.value == pytest.approx(1.0)
    for i in range(1000, 2000):
        factor.mark(i * 10_000_000, 10_000_000_000 + (i - 1000) * 2_000_000)
    assert factor.value == pytest.approx(0.2)

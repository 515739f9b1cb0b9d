# SPDX-License-Identifier: Apache-2.0
"""The accepted difference of the clocks follows from the plans: their history, and what they repeat."""

import pytest

from dit_policy_ros.core.motion import FROZEN_INTERVALS, PLAN_HISTORY, clock_problem, clock_tolerance


@pytest.mark.parametrize("fps", [10.0, 30.0, 50.0])
def test_the_tolerance_leaves_time_for_the_delivery_of_a_plan(fps):
    low, high = clock_tolerance(1.0 / fps)
    assert 0.0 < high < PLAN_HISTORY
    assert -FROZEN_INTERVALS / fps < low < 0.0


def test_a_clock_outside_the_tolerance_is_named_with_its_side_and_the_remedy():
    low, high = clock_tolerance(1.0 / 30.0)
    assert clock_problem({"joint_states": high - 0.001, "left": low + 0.001, "right": None}, 1.0 / 30.0) == ""
    text = clock_problem({"joint_states": high + 0.001, "left": low - 0.001, "right": 0.0}, 1.0 / 30.0)
    assert "joint_states's clock is 0.111 s behind ours" in text
    assert "left's clock is 0.048 s ahead of ours" in text
    assert "right" not in text and "chrony" in text


def test_the_tolerance_itself_is_accepted():
    for offset in clock_tolerance(1.0 / 30.0):
        assert clock_problem({"left": offset}, 1.0 / 30.0) == ""


def test_with_simulated_time_only_another_clock_counts():
    assert clock_problem({"joint_states": -0.3}, 1.0 / 30.0, simulated=True) == ""
    assert "behind" in clock_problem({"joint_states": 1.7e9}, 1.0 / 30.0, simulated=True)

# SPDX-License-Identifier: Apache-2.0
"""The commanded position is what a joint_trajectory_controller would output."""

import numpy as np
import pytest
from contracts import SMALL_CONTRACT
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_policy_ros.core.recording import CommandedTrajectory, CommandStream

MS = 1_000_000
ARM = SMALL_CONTRACT.controllers[0]


def trajectory(received, times, positions, velocities=None, start=0.0) -> CommandedTrajectory:
    """Times in ms, one value for all joints of a two-joint controller."""
    return CommandedTrajectory(
        received * MS,
        np.full(2, start),
        np.array(times, dtype=np.int64) * MS,
        np.repeat(np.array(positions, dtype=float)[:, None], 2, axis=1),
        None if velocities is None else np.repeat(np.array(velocities, dtype=float)[:, None], 2, axis=1),
    )


def at(source, time: float) -> float:
    values = source.at(round(time * MS))
    assert values.shape == (2,)
    assert values[0] == values[1]
    return float(values[0])


def test_positions_are_interpolated_linearly_and_held_after_the_last() -> None:
    one = trajectory(0, [0, 100, 300], [0.0, 1.0, 2.0])
    assert [at(one, time) for time in (0, 50, 100, 200, 300, 999)] == pytest.approx([0, 0.5, 1, 1.5, 2, 2])


@settings(deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4), st.floats(0, 1))
def test_cubics_reproduce_any_cubic(coefficients: list[float], s: float) -> None:
    cubic = np.polynomial.Polynomial(coefficients)
    one = trajectory(0, [0, 500], [cubic(0.0), cubic(0.5)], [cubic.deriv()(0.0), cubic.deriv()(0.5)])
    time = round(s * 500)
    assert at(one, time) == pytest.approx(cubic(time / 1000), abs=1e-9)


def test_a_first_point_in_the_future_is_approached_from_the_start() -> None:
    one = trajectory(100, [300], [1.0], start=0.5)
    assert [at(one, time) for time in (100, 200, 300)] == pytest.approx([0.5, 0.75, 1.0])


def test_points_in_the_past_are_skipped() -> None:
    one = trajectory(150, [0, 100, 200], [0.0, 1.0, 2.0], start=9.0)
    assert at(one, 150) == pytest.approx(1.5)


def test_a_new_message_replaces_the_former_when_it_arrives() -> None:
    stream = CommandStream(ARM, keep=10.0)
    stream.push(trajectory(0, [0, 1000], [0.0, 1.0]))
    stream.push(trajectory(500, [400, 1400], [7.0, 8.0]))
    assert stream.at(-1) is None
    assert at(stream, 499) == pytest.approx(0.499)
    assert at(stream, 500) == pytest.approx(7.1)


def test_history_is_bounded_but_the_active_command_stays() -> None:
    stream = CommandStream(ARM, keep=0.1)
    for received in range(0, 1000, 10):
        stream.push(trajectory(received, [received], [received]))
    assert len(stream._trajectories) == 11
    assert at(stream, 985) == 980
    assert at(stream, 99_999) == 990


def test_a_clock_set_back_drops_the_old_timeline() -> None:
    stream = CommandStream(ARM, keep=10.0)
    stream.push(trajectory(5000, [5000], [5.0]))
    stream.push(trajectory(100, [100], [1.0]))
    assert at(stream, 9000) == 1.0
    stream.clear()
    assert stream.at(9000 * MS) is None

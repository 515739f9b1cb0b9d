# SPDX-License-Identifier: Apache-2.0
"""Commands of a control loop as a path: exact timing, and a motion within the limits."""

from collections.abc import Callable

import numpy as np
import pytest
from motion_helpers import DT, PERIOD_NS, T0_NS, ensemble_settings, make_pipeline, motion_limits

from dit_policy_ros.core.command_playback import CommandPlayback
from dit_policy_ros.core.motion import Chunk, EnsembleMode

DELAY_NS = 6 * PERIOD_NS
ROWS = 31  # of a chunk


def playback(*commands: tuple[int, float]) -> CommandPlayback:
    """Standing at 0; commands are given at so many periods after T0."""
    made = CommandPlayback(PERIOD_NS, DELAY_NS, 10**9)
    made.stand(np.zeros(1), T0_NS)
    for period, value in commands:
        made.add(np.array([value]), T0_NS + period * PERIOD_NS)
    return made


def positions(made: CommandPlayback, *periods: float) -> list[float]:
    """Where the joint should be, so many periods after T0 and the delay."""
    times_ns = np.array([T0_NS + DELAY_NS + round(period * PERIOD_NS) for period in periods])
    return made.at(times_ns)[:, 0].tolist()


def test_a_command_is_executed_after_the_delay():
    made = playback((1, 0.1), (2, 0.2), (3, 0.3))
    assert positions(made, 1, 2, 2.5, 3) == pytest.approx([0.1, 0.2, 0.25, 0.3])


def test_the_last_command_is_held():
    assert positions(playback((1, 0.1), (2, 0.2)), 2, 3, 30) == pytest.approx([0.2, 0.2, 0.2])


def test_before_the_first_command_the_joints_stand():
    made = playback((20, 0.5))
    assert positions(made, 0, 18, 19, 20) == pytest.approx([0.0, 0.0, 0.0, 0.5])


def test_a_pause_of_the_loop_holds_the_command_before_it():
    made = playback((1, 0.1), (2, 0.2), (12, 0.3))
    assert positions(made, 2, 11, 12) == pytest.approx([0.2, 0.2, 0.3])


def test_a_clock_that_is_set_back_does_not_keep_the_future():
    made = playback((5, 0.5))
    made.add(np.array([0.1]), T0_NS)
    assert positions(made, 0, 10) == pytest.approx([0.1, 0.1])


def test_without_anything_there_is_no_path():
    with pytest.raises(ValueError, match="no command"):
        CommandPlayback(PERIOD_NS, DELAY_NS, 10**9).at(np.array([T0_NS]))


def executed(wanted: Callable[[float], float], periods: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times [s], positions and velocities of a joint that a loop of 30 Hz commands, every millisecond."""
    ensemble = ensemble_settings(1, mode=EnsembleMode.NEWEST)
    pipeline = make_pipeline(
        1, motion_limits(1), ensemble=ensemble, fade_knots=1, plan_horizon=0.5, soft_start=1.0
    )
    pipeline.start(np.zeros(1), T0_NS)
    made, rows = playback(), []
    for period in range(periods):
        now_ns = T0_NS + period * PERIOD_NS
        made.add(np.array([wanted(period * DT)]), now_ns)
        stamp_ns = now_ns - 5_000_000  # of a joint state
        times_ns = stamp_ns + PERIOD_NS * np.arange(ROWS)
        sent_ns = now_ns + 15_000_000
        pipeline.add_chunk(Chunk(stamp_ns, PERIOD_NS, made.at(times_ns)), sent_ns)
        between_ns = np.arange(sent_ns, sent_ns + PERIOD_NS, 1_000_000)
        position, velocity = pipeline.plan.sample(between_ns)
        rows.append(np.stack([(between_ns - T0_NS) * 1e-9, position[:, 0], velocity[:, 0]]))
    times, position, velocity = np.concatenate(rows, axis=1)
    return times, position, velocity


def test_a_sine_is_followed_exactly_and_late_by_the_delay():
    def sine(t: float) -> float:
        return 0.4 * np.sin(2 * np.pi * t / 3) * min(max(t, 0.0), 1.0)

    times, position, _ = executed(sine, 240)
    late = DELAY_NS * 1e-9
    error = np.abs(position - [sine(t - late) for t in times])[times > 3.0]
    assert error.max() < 0.01  # [rad]


def test_a_leap_of_a_radian_keeps_the_limits():
    times, position, velocity = executed(lambda t: 0.0 if t < 1.0 else 1.0, 120)
    limits = motion_limits(1)
    assert position[-1] == pytest.approx(1.0, abs=1e-3)
    assert np.abs(velocity).max() <= limits.velocity[0] * (1 + 1e-6)
    assert position.max() <= 1.005, "no overshoot"
    acceleration = np.abs(np.diff(velocity)) / np.diff(times)
    assert np.quantile(acceleration, 0.999) <= 1.3 * limits.acceleration[0]


def test_a_continuous_joint_takes_the_short_way_and_others_do_not():
    """A leader arm's driver gives angles of -pi to pi."""
    made = CommandPlayback(PERIOD_NS, DELAY_NS, 10**9, np.array([True, False]))
    made.stand(np.array([3.0, 3.0]), T0_NS)
    for period, value in ((1, 3.1), (2, -3.1), (3, -3.0)):
        made.add(np.array([value, value]), T0_NS + period * PERIOD_NS)
    times_ns = T0_NS + DELAY_NS + np.array([2, 3, 4, 5]) * PERIOD_NS // 2  # half periods
    turning, limited = made.at(times_ns).T
    assert turning == pytest.approx([3.1, np.pi, 2 * np.pi - 3.1, 2 * np.pi - 3.05], abs=1e-6)
    assert limited == pytest.approx([3.1, 0.0, -3.1, -3.05], abs=1e-6)


def test_what_was_executed_a_moment_ago_is_known_for_older_joint_states():
    made = playback(*((period, period / 100) for period in range(1, 31)))
    assert positions(made, 15, 20) == pytest.approx([0.15, 0.2]), "the newest command was given at 30"

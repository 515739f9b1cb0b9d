# SPDX-License-Identifier: Apache-2.0
"""Continuous joints are averaged, spliced, interpolated and held as angles modulo a whole turn."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_helpers import DT, PERIOD_NS, T0_NS, assert_executable, ensemble_settings, make_pipeline

from dit_policy_ros.core.continuous_joints import nearest_turn, unwrap
from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.motion import Chunk
from dit_policy_ros.core.motion._ensemble import Ensembler
from dit_policy_ros.core.sensing._joint_buffer import interpolate
from dit_policy_ros.core.sensing._streams import Sample

CIRCULAR = np.array([True, False])
TURN = 2 * math.pi
HORIZON = 31


def wrap(angle):
    """Into [-pi, pi), by definition."""
    return (np.asarray(angle) + math.pi) % TURN - math.pi


def continuous_limits() -> Limits:
    return Limits([-np.inf, -1.0], [np.inf, 1.5], [2.5, 2.5], [8.0, 8.0])


def least_squares_mean(angles: list[float], weights: list[float]) -> float:
    """Slow reference: the angle with the smallest weighted sum of squared arcs, found by iteration."""
    guess = angles[-1]
    for _ in range(200):
        arcs = [math.remainder(angle - guess, TURN) for angle in angles]
        guess += sum(w * a for w, a in zip(weights, arcs, strict=True)) / sum(weights) / 2
    return guess


@settings(max_examples=100, deadline=None)
@given(
    centre=st.floats(-20.0, 20.0),
    offsets=st.lists(st.floats(-0.7, 0.7), min_size=1, max_size=6),
    m=st.floats(0.0, 2.0),
    turns=st.lists(st.integers(-2, 2), min_size=6, max_size=6),
)
def test_the_average_is_the_least_squares_mean_on_the_circle(centre, offsets, m, turns):
    angles = [centre + offset + TURN * turn for offset, turn in zip(offsets, turns, strict=False)]
    ensembler = Ensembler(ensemble_settings(temporal_ensemble_coeff=m, continuous=CIRCULAR))
    for k, angle in enumerate(angles):
        ensembler.add(Chunk(T0_NS + k, PERIOD_NS, np.full((10, 2), angle)))
    blended = ensembler.blend(np.array([T0_NS + PERIOD_NS]))[0]
    weights = [math.exp(-m * rank) for rank in range(len(angles))]
    expected = least_squares_mean(angles, weights)
    assert math.remainder(blended[0] - expected, TURN) == pytest.approx(0.0, abs=1e-9)
    assert blended[1] == pytest.approx(np.average(angles, weights=weights)), "the other joint is not an angle"


@settings(max_examples=50, deadline=None)
@given(rotation=st.floats(-10.0, 10.0), seed=st.integers(0, 1000))
def test_rotating_all_predictions_rotates_the_average(rotation, seed):
    rng = np.random.default_rng(seed)
    chunks = [rng.uniform(-1.0, 1.0, (8, 2)) for _ in range(4)]
    times_ns = T0_NS + PERIOD_NS * np.arange(6)
    blends = []
    for angle in (0.0, rotation):
        ensembler = Ensembler(ensemble_settings(temporal_ensemble_coeff=0.3, continuous=CIRCULAR))
        for k, actions in enumerate(chunks):
            rotated = actions + np.array([angle, 0.0])
            rotated[:, 0] = wrap(rotated[:, 0])
            ensembler.add(Chunk(T0_NS + k, PERIOD_NS, rotated))
        blends.append(ensembler.blend(times_ns))
    np.testing.assert_allclose(wrap(blends[1][:, 0] - blends[0][:, 0] - rotation), 0.0, atol=1e-9)


def test_predictions_on_both_sides_of_pi_are_averaged_at_pi():
    ensembler = Ensembler(
        ensemble_settings(temporal_ensemble_coeff=0.0, continuous=CIRCULAR, max_disagreement=np.full(2, 0.5))
    )
    for k, angle in enumerate((math.pi - 0.1, -math.pi + 0.1)):
        actions = np.full((10, 2), angle)
        actions[:, 1] = 0.0
        ensembler.add(Chunk(T0_NS + k, PERIOD_NS, actions))
    blended = ensembler.blend(np.array([T0_NS + PERIOD_NS]))[0, 0]
    assert abs(wrap(blended - math.pi)) < 1e-6
    assert ensembler.disagreements == 0, "they are 0.2 rad apart, not 6.1"


def test_a_chunk_is_interpolated_across_pi():
    actions = np.stack([wrap(math.pi - 0.2 + 0.1 * np.arange(8)), np.zeros(8)], axis=1)
    ensembler = Ensembler(ensemble_settings(continuous=CIRCULAR))
    ensembler.add(Chunk(T0_NS, PERIOD_NS, actions))
    between = ensembler.blend(np.array([T0_NS + PERIOD_NS * 5 // 2]))[0, 0]
    assert wrap(between - (math.pi + 0.05)) == pytest.approx(0.0, abs=1e-6)


def test_a_joint_keeps_turning_across_pi_without_a_jump_and_within_its_limits():
    limits = continuous_limits()
    pipeline = make_pipeline(
        limits=limits, soft_start=0.0, ensemble=ensemble_settings(continuous=limits.continuous)
    )
    pipeline.start(np.array([3.0, 0.0]), T0_NS)
    for k in range(80):
        stamp_ns = T0_NS + k * 100_000_000
        times = (stamp_ns - T0_NS) * 1e-9 + DT * np.arange(HORIZON)
        actions = np.stack([wrap(3.0 + 1.0 * times), np.zeros(HORIZON)], axis=1)
        before = pipeline.plan
        now_ns = stamp_ns + 50_000_000
        plan = pipeline.add_chunk(Chunk(stamp_ns, PERIOD_NS, actions), now_ns)
        assert_executable(plan, limits)
        np.testing.assert_allclose(plan.sample_at(now_ns)[0], before.sample_at(now_ns)[0], atol=1e-9)
    assert plan.positions[-1, 0] > 3.0 + 7.5, "more than a whole turn"
    assert wrap(plan.sample_at(now_ns)[0][0] - 3.0 - (now_ns - T0_NS) * 1e-9) == pytest.approx(0.0, abs=0.02)


def test_a_whole_turn_is_no_tracking_error():
    limits = continuous_limits()
    pipeline = make_pipeline(limits=limits, max_tracking_error=np.full(2, 0.1))
    pipeline.start(np.array([3 * TURN + 0.5, 0.0]), T0_NS)
    assert pipeline.describe_tracking_error(np.array([0.55, 0.0]), T0_NS) == ""
    assert "joint_1" in pipeline.describe_tracking_error(np.array([0.7, 0.0]), T0_NS)
    brake = pipeline.hold("test", T0_NS + 1, measured=np.array([0.7, 0.0]))
    assert brake.positions[-1, 0] == pytest.approx(3 * TURN + 0.7), "the measured pose, in the commanded turn"


@settings(deadline=None)
@given(start=st.floats(-3.1, 3.1), step=st.floats(-0.5, 0.5), weight=st.floats(0.0, 1.0))
def test_measured_angles_are_interpolated_the_short_way(start, step, weight):
    before = Sample(0, np.array([start, start]))
    after = Sample(1000, np.array([wrap(start + step), start + step]))
    time = round(1000 * weight)
    angle, number = interpolate(before, after, time, CIRCULAR)
    assert wrap(angle - (start + step * time / 1000)) == pytest.approx(0.0, abs=1e-9)
    assert abs(angle) <= math.pi + 1e-9
    assert number == pytest.approx(start + step * time / 1000)


def test_an_angle_measured_beyond_one_turn_is_not_wrapped():
    before, after = Sample(0, np.array([10.0, 0.0])), Sample(10, np.array([10.2, 0.0]))
    assert interpolate(before, after, 5, CIRCULAR)[0] == pytest.approx(10.1)


def test_joints_with_position_limits_are_not_changed():
    rows = np.array([[7.0, 7.0], [-7.0, -7.0]])
    assert (nearest_turn(rows, np.zeros(2), CIRCULAR)[:, 1] == rows[:, 1]).all()
    assert (unwrap(rows, np.zeros(2), CIRCULAR)[:, 1] == rows[:, 1]).all()
    assert nearest_turn(rows, np.zeros(2), ~CIRCULAR & CIRCULAR) is rows
    assert replace(continuous_limits()).continuous.tolist() == [True, False]

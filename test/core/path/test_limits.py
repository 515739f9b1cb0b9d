# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from motion_helpers import DT, PERIOD_NS, assert_executable, motion_limits

from dit_policy_ros.core.motion import Plan
from dit_policy_ros.core.motion._brake import braking_plan
from dit_policy_ros.core.path._limits import Limiter, Target, fastest_stoppable

LIMITS = motion_limits()
KNOTS = 20


def as_plan(position, velocity, motion):
    return Plan(
        PERIOD_NS * np.arange(len(motion.positions) + 1, dtype=np.int64),
        np.concatenate([position[None], motion.positions]),
        np.concatenate([velocity[None], motion.velocities]),
    )


def limited_knots(motion) -> int:
    return int(motion.limited.any(axis=1).sum())


def stop_step_by_step(velocity: float, acceleration: float, dt: float) -> float:
    """Slow reference: the distance of full braking from knot to knot."""
    distance = 0.0
    while velocity > 0.0:
        slower = max(velocity - acceleration * dt, 0.0)
        distance += (velocity + slower) * dt / 2.0
        velocity = slower
    return distance


@given(st.floats(0.0, 3.0), st.floats(0.5, 30.0), st.floats(0.005, 0.2))
def test_fastest_stoppable_is_the_inverse_of_braking_step_by_step(distance, acceleration, dt):
    speed = float(fastest_stoppable(np.array([distance]), np.array([acceleration]), dt)[0])
    used = speed * dt / 2.0 + stop_step_by_step(speed, acceleration, dt)
    assert used == pytest.approx(distance, abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(
    target=arrays(np.float64, (KNOTS, 2), elements=st.floats(-3.0, 3.0)),
    position=arrays(np.float64, 2, elements=st.floats(-0.9, 1.4)),
)
def test_any_target_is_followed_within_the_limits(target, position):
    rest = np.zeros(2)
    velocities = np.gradient(target, DT, axis=0)
    motion = Limiter(LIMITS, DT).follow(position, rest, Target.of(target, velocities))
    assert_executable(as_plan(position, rest, motion), LIMITS)


@settings(max_examples=60, deadline=None)
@given(target=arrays(np.float64, (KNOTS, 2), elements=st.floats(-3.0, 3.0)))
def test_limits_are_idempotent(target):
    start, rest, limiter = np.zeros(2), np.zeros(2), Limiter(LIMITS, DT)
    once = limiter.follow(start, rest, Target.of(target, np.gradient(target, DT, axis=0)))
    twice = limiter.follow(start, rest, Target.of(once.positions, once.velocities))
    # Velocities below 1e-9 rad/s become rest, so the positions differ by a part of that.
    np.testing.assert_allclose(twice.positions, once.positions, rtol=0.0, atol=1e-9)
    np.testing.assert_allclose(twice.velocities, once.velocities, rtol=0.0, atol=1e-9)
    assert limited_knots(twice) == 0


def test_a_gentle_motion_is_followed_closely_and_not_counted_as_limited():
    times = DT * np.arange(1, 61)
    target = 0.5 * (1 - np.cos(2 * np.pi * 0.4 * times))[:, None] * np.ones((1, 2))  # (60, 2)
    velocities = 0.5 * 2 * np.pi * 0.4 * np.sin(2 * np.pi * 0.4 * times)[:, None] * np.ones((1, 2))
    motion = Limiter(LIMITS, DT).follow(np.zeros(2), np.zeros(2), Target.of(target, velocities))
    assert np.abs(motion.positions - target)[:-12].max() < 2e-3
    assert limited_knots(motion) == 0


def test_an_error_is_corrected_without_overshoot():
    target = np.full((60, 2), 0.2)
    motion = Limiter(LIMITS, DT).follow(np.zeros(2), np.zeros(2), Target.of(target, np.zeros((60, 2))))
    assert motion.positions.max() <= 0.2 + 1e-9
    assert motion.positions[-1] == pytest.approx([0.2, 0.2], abs=2e-3)


def test_a_step_is_counted_as_limited_and_stays_inside():
    target = np.full((KNOTS, 2), 9.0)
    motion = Limiter(LIMITS, DT).follow(np.zeros(2), np.zeros(2), Target.of(target, np.zeros((KNOTS, 2))))
    assert limited_knots(motion) == KNOTS
    assert motion.positions.max() <= 1.5


@pytest.mark.parametrize(
    ("limit", "start", "speed"), [("position", 1.3, 0.9), ("velocity", -0.9, 3.6), ("acceleration", 0.0, 1.0)]
)
def test_limited_knots_are_counted_by_limit_and_joint(limit, start, speed):
    velocities = np.stack([np.full(KNOTS, speed), np.zeros(KNOTS)], axis=1)
    target = start + velocities * DT * np.arange(1, KNOTS + 1)[:, None]
    motion = Limiter(LIMITS, DT).follow(np.full(2, start), np.zeros(2), Target.of(target, velocities))
    assert motion.counts[limit][0] > 0
    assert all(count[1] == 0 for count in motion.counts.values()), (
        "a joint that does not move must not be counted"
    )
    assert motion.counts["jerk"][0] == 0
    assert limit != "acceleration" or motion.counts["position"][0] == motion.counts["velocity"][0] == 0


@settings(max_examples=60, deadline=None)
@given(
    target=arrays(np.float64, (KNOTS, 2), elements=st.floats(-3.0, 3.0)),
    scale=st.floats(0.01, 1.0),
    fast=st.floats(-2.4, 2.4),
)
def test_a_lower_velocity_scale_is_reached_by_braking_from_any_speed(target, scale, fast):
    position, velocity = np.zeros(2), np.array([fast, 0.0]) * 0.5
    limiter = Limiter(LIMITS.with_velocity_scale(scale), DT)
    motion = limiter.follow(position, velocity, Target.of(target, np.gradient(target, DT, axis=0)))
    assert_executable(as_plan(position, velocity, motion), LIMITS)
    too_fast = np.abs(motion.velocities) > scale * LIMITS.velocity * (1 + 1e-9)  # (K, A)
    before = np.concatenate([velocity[None], motion.velocities[:-1]])
    braking = np.abs(before) - np.abs(motion.velocities)  # (K, A)
    np.testing.assert_allclose(braking[too_fast], LIMITS.acceleration[0] * DT, rtol=1e-6)


def test_a_limit_is_counted_until_the_joint_brakes_because_the_plan_ends():
    """From 2.5 rad/s full braking takes 10 of the 20 knots."""
    velocities = np.full((KNOTS, 1), 3.6)
    target = -0.9 + velocities * DT * np.arange(1, KNOTS + 1)[:, None]
    limits = replace(motion_limits(1), position_max=np.full(1, 99.0))
    motion = Limiter(limits, DT).follow(np.full(1, -0.9), np.full(1, 2.5), Target.of(target, velocities))
    counts = {name: int(count[0]) for name, count in motion.counts.items()}
    assert counts == {"position": 0, "velocity": 10, "acceleration": 0, "jerk": 0}
    assert limited_knots(motion) == 10


def jerk_of(velocities: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The jerk at each knot, (K, A), given the velocities at the knots before."""
    speeds = np.concatenate([before, velocities])
    return np.diff(speeds, 2, axis=0) / DT**2


def test_a_step_is_followed_within_the_jerk_limit_and_without_overshoot():
    limits = motion_limits(jerk=60.0)
    target = np.full((60, 2), 0.4)
    motion = Limiter(limits, DT).follow(np.zeros(2), np.zeros(2), Target.of(target, np.zeros((60, 2))))
    assert np.abs(jerk_of(motion.velocities, np.zeros((2, 2)))).max() <= 60.0 * (1 + 1e-6)
    assert motion.positions.max() <= 0.4 + 2e-3
    assert motion.positions[-1] == pytest.approx([0.4, 0.4], abs=2e-3)
    assert motion.counts["jerk"].all()
    unlimited = Limiter(LIMITS, DT).follow(np.zeros(2), np.zeros(2), Target.of(target, np.zeros((60, 2))))
    assert np.abs(jerk_of(unlimited.velocities, np.zeros((2, 2)))).max() > 100.0


@settings(max_examples=60, deadline=None)
@given(target=arrays(np.float64, (KNOTS, 2), elements=st.floats(-3.0, 3.0)), jerk=st.floats(5.0, 500.0))
def test_a_jerk_limit_never_breaks_another_limit(target, jerk):
    limits = motion_limits(jerk=jerk)
    motion = Limiter(limits, DT).follow(
        np.zeros(2), np.zeros(2), Target.of(target, np.gradient(target, DT, axis=0))
    )
    assert_executable(as_plan(np.zeros(2), np.zeros(2), motion), limits)


@settings(max_examples=150, deadline=None)
@given(
    target=arrays(np.float64, (KNOTS, 2), elements=st.floats(-3.0, 3.0)),
    when=st.floats(0.0, 1.0),
)
def test_braking_from_any_instant_of_a_limited_motion_stays_inside(target, when):
    start, rest = np.zeros(2), np.zeros(2)
    motion = Limiter(LIMITS, DT).follow(start, rest, Target.of(target, np.gradient(target, DT, axis=0)))
    plan = as_plan(start, rest, motion)
    now_ns = int(when * plan.end_ns)
    position, velocity = (row[0] for row in plan.sample(np.array([now_ns])))
    brake = braking_plan(position, velocity, now_ns, LIMITS, hold_duration=0.5)
    assert_executable(brake, LIMITS)
    np.testing.assert_array_equal(brake.positions[0], position)
    np.testing.assert_array_equal(brake.velocities[0], velocity)
    assert brake.times_ns[0] == now_ns
    assert brake.end_ns >= now_ns + 500_000_000

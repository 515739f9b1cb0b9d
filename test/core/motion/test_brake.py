# SPDX-License-Identifier: Apache-2.0
"""How the arms come to rest in a HOLD."""

from dataclasses import replace

import numpy as np
import pytest
from motion_helpers import DT, PERIOD_NS, T0_NS, assert_executable, make_pipeline, motion_limits

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.motion import PLAN_HISTORY, Plan
from dit_policy_ros.core.motion._brake import (
    BrakeGroup,
    braking_along_path,
    braking_begin,
    braking_plan,
    stop,
    with_history,
)
from dit_policy_ros.core.path import Limiter, Target

MS = 1_000_000
LIMITS = motion_limits(3)
TOGETHER = [BrakeGroup(np.arange(3), np.ones(3, bool))]


def line(speeds: tuple[float, float, float], knots: int = 40) -> Plan:
    """A plan that moves evenly from 0 on and rests at its last knot."""
    velocities = np.tile(np.array(speeds), (knots, 1))
    velocities[-1] = 0.0
    steps = (velocities[1:] + velocities[:-1]) * (DT / 2.0)
    positions = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    return Plan(T0_NS + PERIOD_NS * np.arange(knots, dtype=np.int64), positions, velocities)


def test_each_joint_stops_at_its_limit_and_the_pose_is_held_after_the_last_one() -> None:
    position, velocity = np.array([0.1, 0.2, 0.3]), np.array([0.8, -0.4, 0.0])
    plan = braking_plan(position, velocity, T0_NS, LIMITS, hold_duration=0.5)
    np.testing.assert_array_equal(plan.times_ns - T0_NS, [0, 50 * MS, 100 * MS, 600 * MS])
    np.testing.assert_allclose(plan.positions[-1], [0.1 + 0.04, 0.2 - 0.01, 0.3])
    np.testing.assert_allclose(plan.velocities, [velocity, [0.4, 0.0, 0.0], np.zeros(3), np.zeros(3)])
    assert_executable(plan, LIMITS)


def test_a_stopping_time_is_rounded_up() -> None:
    plan = braking_plan(np.zeros(3), np.array([0.800001, 0.0, 0.0]), T0_NS, LIMITS, hold_duration=0.5)
    np.testing.assert_array_equal(plan.times_ns - T0_NS, [0, 100_010_000, 600_010_000])
    assert not plan.velocities[1:].any()


@pytest.mark.parametrize(
    ("after_ns", "begins_ns"),
    [(0, 0), (1, 0), (MS - 1, 0), (MS, MS), (20 * MS, 20 * MS), (PERIOD_NS - 1, PERIOD_NS - 1)],
)
def test_a_brake_just_behind_a_knot_begins_at_the_knot(after_ns: int, begins_ns: int) -> None:
    plan, knot_ns = line((0.5, 0.0, 0.0)), T0_NS + 7 * PERIOD_NS
    assert braking_begin(plan, knot_ns + after_ns) == knot_ns + begins_ns


def test_a_brake_outside_the_plan_begins_now() -> None:
    plan = line((0.5, 0.0, 0.0))
    assert braking_begin(plan, T0_NS - 1) == T0_NS - 1
    assert braking_begin(plan, plan.end_ns + 5 * MS) == plan.end_ns + 5 * MS


def test_the_history_is_no_longer_than_needed() -> None:
    active, begin_ns = line((0.5, 0.2, 0.0)), T0_NS + 20 * PERIOD_NS
    brake = braking_plan(*active.sample_at(begin_ns), begin_ns, LIMITS, 1.0)
    plan = with_history(brake, active, np.array([False, True, False]))
    known = int(np.ceil(PLAN_HISTORY / DT))
    np.testing.assert_array_equal(plan.times_ns[: known + 1], begin_ns + PERIOD_NS * np.arange(-known, 1))
    np.testing.assert_array_equal(plan.positions[:known, 0], active.positions[20 - known : 20, 0])
    np.testing.assert_array_equal(plan.positions[:known, 1], brake.positions[0, 1])
    np.testing.assert_array_equal(plan.velocities[:known], np.tile([0.5, 0.0, 0.0], (known, 1)))
    np.testing.assert_array_equal(plan.positions[known:], brake.positions)


def test_joints_that_brake_together_stop_as_fast_as_the_slowest_of_them_can() -> None:
    """1.2 rad/s at 8 rad/s^2 takes 0.15 s; the others go the same share of their way."""
    active, now_ns = line((1.2, -0.3, 0.6)), T0_NS + 10 * PERIOD_NS
    plan, on_path = braking_along_path(active, now_ns, LIMITS, TOGETHER, 2.0)
    assert on_path
    assert_executable(plan, LIMITS)
    np.testing.assert_array_equal(np.diff(plan.times_ns)[:-1], 10 * MS)
    way = plan.positions - plan.positions[0]  # (K, A)
    np.testing.assert_allclose(way[-1], 1.2**2 / 16.0 * np.array([1.0, -0.25, 0.5]), rtol=0.03)
    np.testing.assert_allclose(way[:, 1:], way[:, :1] * [-0.25, 0.5], atol=1e-9)
    rest_ns = plan.times_ns[int(np.argmin(plan.velocities.any(axis=1)))] - now_ns
    assert 150 * MS <= rest_ns <= 170 * MS
    assert plan.end_ns == now_ns + rest_ns + 2_000 * MS


def test_joints_on_a_bent_path_stay_on_it_while_they_brake() -> None:
    """A circle of 0.12 m at 0.9 m/s: 6.75 m/s^2 towards its centre."""
    angles = 7.5 * DT * np.arange(40)
    circle = 0.12 * np.stack([np.cos(angles), np.sin(angles), 0.0 * angles], axis=1)
    speeds = 0.9 * np.stack([-np.sin(angles), np.cos(angles), 0.0 * angles], axis=1)
    active = Plan(T0_NS + PERIOD_NS * np.arange(40, dtype=np.int64), circle, speeds)
    limits = replace(LIMITS, acceleration=np.full(3, 12.0))
    for after_ns in range(0, 20 * PERIOD_NS, 25 * MS):
        now_ns = T0_NS + 5 * PERIOD_NS + after_ns
        plan, on_path = braking_along_path(active, now_ns, limits, TOGETHER, 2.0)
        assert on_path
        assert_executable(plan, limits)
        positions, velocities = plan.sample(np.arange(now_ns, now_ns + 400 * MS, MS))
        assert np.abs(np.hypot(positions[:, 0], positions[:, 1]) - 0.12).max() < 2e-4
        slowing = np.hypot(velocities[:, 0], velocities[:, 1])
        assert (np.diff(slowing) < 1e-3).all() and slowing[160] == 0.0


def test_a_group_that_stops_first_waits_where_it_stopped() -> None:
    active, now_ns = line((1.2, -0.3, 0.6)), T0_NS + 10 * PERIOD_NS
    groups = [BrakeGroup(np.array([0]), np.ones(1, bool)), BrakeGroup(np.array([1, 2]), np.ones(2, bool))]
    plan, on_path = braking_along_path(active, now_ns, LIMITS, groups, 2.0)
    assert on_path
    assert_executable(plan, LIMITS)
    way = plan.positions[-1] - plan.positions[0]
    np.testing.assert_allclose(way, [1.2**2 / 16.0, -0.5 * 0.6**2 / 16.0, 0.6**2 / 16.0], rtol=0.05)
    stopped = plan.sample_at(now_ns + 100 * MS)
    assert stopped[1][0] > 0.3 and np.abs(stopped[1][1:]).max() < 1e-6
    np.testing.assert_allclose(stopped[0][1:], plan.positions[-1, 1:], atol=1e-6)


def test_a_plan_at_rest_stays_where_it_is() -> None:
    active = line((0.0, 0.0, 0.0))
    plan, on_path = stop(active, T0_NS + 5 * PERIOD_NS, LIMITS, TOGETHER, 2.0)
    assert on_path and not plan.velocities.any() and not plan.positions.any()


def test_joints_brake_alone_where_braking_along_the_path_would_take_too_long() -> None:
    """Joint 1 is braking at its limit, so no joint could begin to brake before it turns round."""
    speeds = np.stack([2.4 - 8.0 * DT * np.arange(18), np.full(18, 2.4), np.zeros(18)], axis=1)
    speeds[-1] = 0.0
    steps = np.cumsum((speeds[1:] + speeds[:-1]) * (DT / 2.0), axis=0)
    times_ns = T0_NS + PERIOD_NS * np.arange(18, dtype=np.int64)
    active = Plan(times_ns, np.concatenate([np.zeros((1, 3)), steps]), speeds)
    assert braking_along_path(active, T0_NS, LIMITS, TOGETHER, 2.0) is None
    plan, on_path = stop(active, T0_NS, LIMITS, TOGETHER, 2.0)
    pipeline = make_pipeline(3, LIMITS)
    pipeline.start(np.zeros(3), T0_NS)
    pipeline._active_splicer.plan = active
    pipeline.hold("a test", T0_NS)
    assert pipeline.clamped_knots == 1, "what leaves the path is counted"
    alone = braking_plan(np.zeros(3), speeds[0], T0_NS, LIMITS, 2.0)
    assert not on_path
    np.testing.assert_array_equal(plan.times_ns, alone.times_ns)
    np.testing.assert_array_equal(plan.positions, alone.positions)


def test_a_brake_that_one_joint_cannot_follow_is_said_to_leave_the_path() -> None:
    """Joint 1 would have to start at full speed in one interval."""
    speeds = np.stack([np.where(np.arange(30) < 11, 0.0, 1.2), np.full(30, 1.2), np.zeros(30)], axis=1)
    steps = np.cumsum((speeds[1:] + speeds[:-1]) * (DT / 2.0), axis=0)
    times_ns = T0_NS + PERIOD_NS * np.arange(30, dtype=np.int64)
    active = Plan(times_ns, np.concatenate([np.zeros((1, 3)), steps]), speeds)
    plan, on_path = braking_along_path(active, T0_NS + 10 * PERIOD_NS, LIMITS, TOGETHER, 2.0)
    assert not on_path
    assert_executable(plan, LIMITS)


def test_a_follower_does_not_decide_how_fast_its_group_brakes() -> None:
    limits = replace(LIMITS, acceleration=np.array([8.0, 8.0, 1.0]))
    active, now_ns = line((0.8, 0.0, 0.4)), T0_NS + 10 * PERIOD_NS
    leaders = [BrakeGroup(np.arange(3), np.array([True, True, False]))]
    plan, on_path = stop(active, now_ns, limits, leaders, 2.0)
    at_rest = plan.sample_at(now_ns + 110 * MS)[1]
    assert on_path and at_rest[0] == 0.0 and at_rest[2] > 0.0, "joint 3 needs 0.4 s, joint 1 does not wait"
    together, _ = stop(active, now_ns, limits, TOGETHER, 2.0)
    assert together.sample_at(now_ns + 110 * MS)[1][0] > 0.0


def random_active(rng: np.random.Generator, limits: Limits) -> Plan:
    """What the limiter makes of random targets of one arm of two joints and a gripper."""
    scale = rng.choice([0.01, 0.1, 1.0, 3.0])
    targets = 0.05 * scale * np.cumsum(rng.normal(size=(30, 3)), axis=0)  # (30, 3)
    targets = np.clip(targets, limits.position_min, limits.position_max)
    motion = Limiter(limits, DT).follow(targets[0], np.zeros(3), Target.of(targets, np.zeros_like(targets)))
    return Plan(T0_NS + PERIOD_NS * np.arange(30, dtype=np.int64), motion.positions, motion.velocities)


@pytest.mark.parametrize("seed", range(5))
def test_every_joint_rests_when_a_brake_is_over_whoever_decides_how_fast_it_is(seed: int) -> None:
    """A gripper that follows its arm can be slower. It must not swing through the HOLD that comes then."""
    rng, late = np.random.default_rng(seed), 0
    for _ in range(60):
        gripper = rng.choice([0.3, 1.0, 8.0])  # [rad/s^2]
        limits = replace(LIMITS, acceleration=np.array([8.0, 8.0, gripper]))
        leaders = [BrakeGroup(np.arange(3), np.array([True, True, False]))]
        active = random_active(rng, limits)
        now_ns = int(rng.integers(T0_NS, active.end_ns))
        plan, _ = stop(active, now_ns, limits, leaders, 2.0)
        assert_executable(plan, limits)
        held_ns = plan.end_ns - 2_000 * MS
        positions, velocities = plan.sample(np.arange(held_ns, plan.end_ns, 10 * MS))
        assert not velocities.any() and not np.ptp(positions, axis=0).any()
        speeds = plan.velocities[plan.times_ns >= now_ns]  # (K, 3)
        late += bool(speeds[~speeds[:, :2].any(axis=1), 2].any())
    assert late >= 5, "the search must contain grippers that rest later than their arm"

# SPDX-License-Identifier: Apache-2.0
"""The limiter computes a motion at once where no clamp would change it, and knot by knot otherwise."""

from dataclasses import replace

import numpy as np
import pytest
from motion_helpers import DT, PERIOD_NS, motion_limits

from dit_policy_ros.core.motion import Plan
from dit_policy_ros.core.path._limits import Limiter, Target, fastest_stoppable

JOINTS = 2


Case = tuple[Limiter, np.ndarray, np.ndarray, Target, np.ndarray]


def random_case(seed: int, has_jerk_limit: bool) -> Case:
    """A limiter, position and velocity on or near a sine, the sine as a target, and the acceleration."""
    rng = np.random.default_rng(seed)
    jerk = float(rng.uniform(60.0, 300.0)) if has_jerk_limit else np.inf
    times = DT * np.arange(int(rng.integers(2, 26)))[:, None]  # (K+1, 1)
    slowed = np.ones_like(times)
    if rng.random() < 0.7:  # it comes to rest evenly
        slowed = np.clip((times[-1] - times) / (0.5 * times[-1]), 0.0, 1.0)
        times = np.concatenate([[[0.0]], np.cumsum((slowed[1:] + slowed[:-1]) * (DT / 2.0), axis=0)])
    turns, size = 2.0 * np.pi * rng.uniform(0.1, 1.2, JOINTS), rng.uniform(0.02, 0.5, JOINTS)  # (A,) both
    phase, centre = rng.uniform(0.0, 2.0 * np.pi, JOINTS), rng.uniform(-0.6, 1.1, JOINTS)  # (A,) both
    positions = centre + size * np.sin(turns * times + phase)  # (K+1, A)
    velocities = size * turns * np.cos(turns * times + phase) * slowed  # (K+1, A)
    error = float(rng.choice([0.0, 1e-4, 3e-3, 2e-2]))
    position = positions[0] + error * rng.normal(size=JOINTS)  # (A,)
    velocity = velocities[0] + 3.0 * error * rng.normal(size=JOINTS)  # (A,)
    rest = positions[-1:] + rng.normal(0.0, 0.02, (3, JOINTS)) if rng.random() < 0.5 else None  # (R, A)
    before = (velocities[1] - velocities[0]) / DT  # (A,)
    limiter = Limiter(motion_limits(JOINTS, jerk=jerk), DT)
    return limiter, position, velocity, Target.of(positions[1:], velocities[1:], rest), before


@pytest.mark.parametrize("has_jerk_limit", [False, True])
def test_what_is_computed_at_once_is_what_all_clamps_would_give(has_jerk_limit: bool) -> None:
    tries, at_once, differ, needless = 300, 0, 0, 0
    for seed in range(tries):
        limiter, position, velocity, target, before = random_case(seed, has_jerk_limit)
        clamped = limiter._follow_knot_by_knot(position, velocity, target, before)
        motion = limiter._unlimited(position, velocity, target)
        if motion is None:
            continue
        same = np.abs(clamped.positions - motion[0]).max() < 1e-9
        same &= np.abs(clamped.velocities - motion[1]).max() < 1e-9
        if limiter._keeps_limits(position, velocity, motion, target, before):
            at_once += 1
            differ += not same
            # A turn between two knots needs less room than a stop at a knot: the clamps are a bit stricter.
            assert np.abs(clamped.positions - motion[0]).max() < 1e-3
            assert same == (not clamped.limited.any())
        else:
            needless += same
    assert at_once > 0.2 * tries
    assert differ <= 1 and needless < 0.04 * tries


def executable(rng: np.random.Generator, acceleration: float, knots: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities (K+1,) of a motion of constant accelerations between the knots."""
    speed = acceleration * DT
    velocities = np.zeros(knots + 1)
    for k in range(1, knots):
        low, high = velocities[k - 1] - speed, velocities[k - 1] + speed
        bound = min(0.5 * speed * (knots - k), 1.2)  # so that it can rest in time
        velocities[k] = np.clip(rng.choice([low, high, rng.uniform(low, high)]), -bound, bound)
        velocities[k] = np.clip(velocities[k], low, high)
    steps = (velocities[1:] + velocities[:-1]) * (DT / 2.0)
    return np.concatenate([[0.0], np.cumsum(steps)]), velocities


@pytest.mark.parametrize("acceleration", [8.0, 60.0])
def test_a_joint_that_needs_no_limit_is_followed_exactly_while_another_one_is_limited(acceleration) -> None:
    """Also where it turns round between two knots, by up to 8 mrad."""
    followed = 0
    for seed in range(60):
        positions, velocities = executable(np.random.default_rng(seed), acceleration, 20)
        if (
            np.abs(np.diff(velocities)).max() > acceleration * DT * (1 + 1e-9)
            or np.abs(positions).max() > 0.9
        ):
            continue
        followed += 1
        target = np.stack([positions, np.full(21, 9.0)], axis=1)  # joint 2 jumps
        speeds = np.stack([velocities, np.zeros(21)], axis=1)
        limits = motion_limits(2, acceleration=acceleration)
        motion = Limiter(limits, DT).follow(
            target[0] * [1.0, 0.0], speeds[0], Target.of(target[1:], speeds[1:])
        )
        np.testing.assert_allclose(motion.positions[:, 0], positions[1:], atol=1e-8)
        np.testing.assert_allclose(motion.velocities[:, 0], velocities[1:], atol=1e-8)
        assert not motion.limited[:, 0].any() and motion.limited[:, 1].any()
        assert not any(count[0] for count in motion.counts.values())
    assert followed > 30


def test_a_joint_within_its_jerk_limit_is_followed_exactly_while_another_one_is_limited() -> None:
    times = DT * np.arange(31)
    u = times / times[-1]
    shape = 10 * u**3 - 15 * u**4 + 6 * u**5
    velocities = np.gradient(0.3 * shape, DT)
    velocities[[0, -1]] = 0.0
    positions = np.concatenate([[0.0], np.cumsum((velocities[1:] + velocities[:-1]) * (DT / 2.0))])
    limits = motion_limits(2, jerk=60.0)
    target = np.stack([positions, np.full(31, 1.0)], axis=1)
    speeds = np.stack([velocities, np.zeros(31)], axis=1)
    motion = Limiter(limits, DT).follow(np.zeros(2), np.zeros(2), Target.of(target[1:], speeds[1:]))
    np.testing.assert_allclose(motion.positions[:, 0], positions[1:], atol=1e-8)
    assert motion.counts["jerk"][0] == 0 and motion.counts["jerk"][1] > 0


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_joint_that_is_ahead_of_its_target_does_not_pass_the_limit_where_the_target_turns(side) -> None:
    """A sine that turns up to 10 mm before the limit, followed with a small error."""
    limits, limit, tries = motion_limits(1), 1.5 if side > 0.0 else -1.0, 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        times = DT * np.arange(int(rng.integers(6, 20)))
        slowed = np.clip((times[-1] - times) / (0.4 * times[-1]), 0.0, 1.0)
        times = np.append(0.0, np.cumsum((slowed[1:] + slowed[:-1]) * (DT / 2.0)))
        turns, size, phase = (
            2.0 * np.pi * rng.uniform(0.2, 1.5),
            rng.uniform(0.02, 0.3),
            rng.uniform(0.0, 6.0),
        )
        positions = side * size * np.sin(turns * times + phase)
        positions += limit - side * ((side * positions).max() + 10.0 ** rng.uniform(-6.0, -2.0))
        velocities = side * size * turns * np.cos(turns * times + phase) * slowed
        start = positions[:1] + 0.01 * rng.normal(size=1)
        velocity = velocities[:1] + 0.1 * rng.normal(size=1)
        if side * velocity[0] > fastest_stoppable(np.abs(limit - start), limits.acceleration, DT)[0]:
            continue  # no motion within the limits gets there
        if side * start[0] > side * limit:
            continue
        tries += 1
        target = Target.of(positions[1:, None], velocities[1:, None])
        motion = Limiter(limits, DT).follow(start, velocity, target)
        knots = PERIOD_NS * np.arange(len(times), dtype=np.int64)
        rows = np.concatenate([start[None], motion.positions])
        speeds = np.concatenate([velocity[None], motion.velocities])
        moved = Plan(knots, rows, speeds).sample(np.arange(0, knots[-1], 1_000_000))[0]
        assert (side * moved).max() <= side * limit + 1e-6, seed
    assert tries > 50


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_motion_with_an_error_stays_in_the_range_of_its_target_between_the_knots_too(side: float) -> None:
    """The target goes to and fro between the knots, by 8 mm; all rows but the last are in one place."""
    limits = motion_limits(1, acceleration=60.0)
    velocities = side * np.append(np.tile([0.95, -0.95], 6), 0.0)[:, None]
    places = side * np.append(np.full(12, 0.475 * DT), 0.0)[:, None]  # the last half interval goes back
    for error in (1e-4, 1e-3):
        start = np.array([side * -error])
        motion = Limiter(limits, DT).follow(start, np.zeros(1), Target.of(places, velocities))
        knots = PERIOD_NS * np.arange(14, dtype=np.int64)
        rows = np.concatenate([start[None], motion.positions])
        plan = Plan(knots, rows, np.concatenate([np.zeros((1, 1)), motion.velocities]))
        moved = side * plan.sample(np.arange(knots[1], knots[-1], 1_000_000))[0]
        assert moved.max() <= 0.475 * DT + 5e-3


def test_a_small_error_shrinks_by_a_fifth_in_every_interval() -> None:
    target = np.zeros((12, 2))
    start = np.array([1e-3, -2e-3])
    motion = Limiter(motion_limits(), DT).follow(start, -start * 0.2 / DT, Target.of(target, target))
    reached = motion.positions[:-1] + motion.velocities[:-1] * (DT / 2.0)
    np.testing.assert_allclose(reached[1:] / reached[:-1], 0.8, rtol=1e-9)


def test_a_joint_without_a_jerk_limit_moves_as_if_no_joint_had_one() -> None:
    target = Target.of(np.tile([0.4, -0.3], (40, 1)), np.zeros((40, 2)))
    free = Limiter(motion_limits(), DT).follow(np.zeros(2), np.zeros(2), target)
    limits = replace(motion_limits(), jerk=np.array([60.0, np.inf]))
    mixed = Limiter(limits, DT).follow(np.zeros(2), np.zeros(2), target)
    np.testing.assert_allclose(mixed.positions[:, 1], free.positions[:, 1], atol=1e-12)
    assert mixed.counts["jerk"].tolist() == [mixed.counts["jerk"][0], 0] and mixed.counts["jerk"][0] > 0

# SPDX-License-Identifier: Apache-2.0
"""What is refused before it is published, and what counts as rounding."""

from dataclasses import replace

import numpy as np
import pytest
from motion_helpers import DT, PERIOD_NS, T0_NS, motion_limits

from dit_policy_ros.core.errors import PlanRejected
from dit_policy_ros.core.motion import Plan, check_plan

LIMITS = motion_limits()  # -1 to 1.5 rad, 2.5 rad/s, 8 rad/s^2
JOINTS = ("joint_1", "joint_2")


def good_plan() -> Plan:
    times_ns = T0_NS + PERIOD_NS * np.arange(5, dtype=np.int64)
    return Plan(times_ns, np.zeros((5, 2)), np.zeros((5, 2)))


def bent(what: str) -> Plan:
    plan = good_plan()
    times_ns, positions, velocities = plan.times_ns.copy(), plan.positions.copy(), plan.velocities.copy()
    match what:
        case "not finite":
            positions[2, 1] = np.inf
        case "strictly increasing":
            times_ns[3] = times_ns[2]
        case "lies in the future":
            times_ns += 10 * PERIOD_NS
        case "lies in the past":
            times_ns -= 10 * PERIOD_NS
        case "does not end at rest":
            velocities[-1, 0] = 0.1
        case "the position 9 of joint_1 at knot 0":
            positions[:, 0] = 9.0
        case "the velocity":
            velocities[2, 0] = 4.0
        case "the acceleration":
            positions[2, 0] = 0.02
        case "the velocity between the knots":  # 2.61 rad/s, with no more than 7.9 rad/s^2 at the knots
            times_ns[-1] += 1_330_000_000 - PERIOD_NS
            positions[:-1, 0], positions[-1, 0] = -0.9, 1.41
        case "the position between the knots":  # too slow a swing for the other rules
            velocities[1:4, 0] = [0.2, 0.4, 0.6]
            positions[1:, 0] = DT * np.array([0.1, 0.4, 0.9, 0.9])
            times_ns[-1] += 20_000_000_000
    return Plan(times_ns, positions, velocities)


@pytest.mark.parametrize(
    "what",
    [
        "not finite",
        "strictly increasing",
        "lies in the future",
        "lies in the past",
        "does not end at rest",
        "the position 9 of joint_1 at knot 0",
        "the velocity",
        "the acceleration",
        "the position between the knots",
        "the velocity between the knots",
    ],
)
def test_every_rule_of_the_plan_check_rejects(what):
    now_ns = T0_NS + 1
    check_plan(good_plan(), LIMITS, JOINTS, now_ns)
    with pytest.raises(PlanRejected, match=what):
        check_plan(bent(what), LIMITS, JOINTS, now_ns)


def accepts(plan: Plan, limits=LIMITS) -> bool:
    try:
        check_plan(plan, limits, JOINTS, T0_NS + 1)
    except PlanRejected:
        return False
    return True


def even(velocity: float, limits=LIMITS) -> Plan:
    """Evenly at a velocity, then one braking interval."""
    knots = 5
    brakes = round(abs(velocity) / limits.acceleration[0] * 1e9) + 1
    times_ns = T0_NS + np.append(PERIOD_NS * np.arange(knots), PERIOD_NS * (knots - 1) + brakes)
    velocities = np.append(np.full(knots, velocity), 0.0)
    steps = (velocities[1:] + velocities[:-1]) / 2.0 * np.diff(times_ns) * 1e-9
    positions = np.append(0.0, np.cumsum(steps))
    return Plan(times_ns, *(np.stack([row, np.zeros(knots + 1)], axis=1) for row in (positions, velocities)))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_only_rounding_is_tolerated(side: float) -> None:
    still = np.zeros((2, 2))
    times_ns = np.array([T0_NS, T0_NS + PERIOD_NS])
    limit = 1.5 if side > 0.0 else -1.0
    for beyond, accepted in ((2e-5, True), (5e-5, False)):
        assert accepts(Plan(times_ns, still + limit + side * beyond, still)) is accepted
    for share, accepted in ((1.0 + 5e-7, True), (1.0 + 1.5e-6, False)):
        assert accepts(even(side * 2.5 * share)) is accepted
    for speed, accepted in ((5e-10, True), (1.5e-9, False)):
        assert accepts(Plan(times_ns, still, np.array([[0.0, 0.0], [0.0, side * speed]]))) is accepted


@pytest.mark.parametrize("acceleration", [8.0, 10_000.0])
def test_an_acceleration_is_refused_beyond_rounding_at_both_ends_of_a_segment(acceleration: float) -> None:
    """1 mm/s^2 and a millionth."""
    limits = motion_limits(2, 1e6, acceleration)
    rounding = 1e-3 + 1e-6 * acceleration
    for beyond, accepted in ((0.8 * rounding, True), (1.3 * rounding, False)):
        change = (acceleration + beyond) * DT
        for velocities in ([0.0, change, 0.0], [0.0, -change, 0.0]):
            positions = np.cumsum([0.0, velocities[1] * DT / 2.0, velocities[1] * DT / 2.0])
            assert np.abs(positions).max() < 100.0
            wide = replace(limits, position_min=np.full(2, -1e3), position_max=np.full(2, 1e3))
            rows = (np.stack([np.zeros(3), row], axis=1) for row in (positions, velocities))
            assert accepts(Plan(T0_NS + PERIOD_NS * np.arange(3), *rows), wide) is accepted


def test_the_acceleration_is_checked_between_the_knots_too() -> None:
    """A cubic from rest to rest: 6 * distance / time^2 at both ends, with opposite signs."""
    times_ns, still = np.array([T0_NS, T0_NS + 100_000_000]), np.zeros((2, 2))
    for distance, accepted in ((0.99 * 8.0 * 0.01 / 6.0, True), (1.01 * 8.0 * 0.01 / 6.0, False)):
        for row in ([0.0, distance], [distance, 0.0]):
            assert accepts(Plan(times_ns, np.stack([row, [0.0, 0.0]], axis=1), still)) is accepted


def test_the_message_gives_the_larger_acceleration_of_a_segment() -> None:
    times_ns = np.array([T0_NS, T0_NS + 100_000_000])
    velocities = np.array([[0.0, 0.4], [0.0, 0.0]])  # with equal positions: -16 and 8 rad/s^2
    with pytest.raises(PlanRejected, match="the acceleration 16 of joint_2 at knot 0"):
        check_plan(Plan(times_ns, np.zeros((2, 2)), velocities), LIMITS, JOINTS, T0_NS + 1)


def test_a_plan_must_reach_from_the_past_into_the_future() -> None:
    plan = good_plan()
    for now_ns, accepted in (
        (T0_NS - 1, False),
        (T0_NS, True),
        (plan.end_ns - 1, True),
        (plan.end_ns, False),
    ):
        if accepted:
            check_plan(plan, LIMITS, JOINTS, now_ns)
        else:
            with pytest.raises(PlanRejected, match="lies in the"):
                check_plan(plan, LIMITS, JOINTS, now_ns)

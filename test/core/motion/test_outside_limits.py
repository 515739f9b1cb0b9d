# SPDX-License-Identifier: Apache-2.0
"""A joint outside its limits: a little is led back gently, more is refused, and a HOLD moves it nowhere."""

import itertools

import numpy as np
import pytest
from mostly_slow import mostly_slow
from motion_helpers import DT, PERIOD_NS, T0_NS, assert_executable, dense, make_pipeline, motion_limits

from dit_policy_ros.core.errors import PlanRejected
from dit_policy_ros.core.motion import Chunk, MotionState, check_plan

TOLERANCE = np.array([0.02, 0.005])  # [rad, m]


def run(pipeline, target, seconds=3.0):
    """Feed chunks of a standing target (A,) and return every plan, as sent every sixth period."""
    plans = []
    for k in range(0, round(seconds / DT), 6):
        now_ns = T0_NS + k * PERIOD_NS + 7_000_000
        actions = np.tile(target, (31, 1))
        plans.append((now_ns, pipeline.add_chunk(Chunk(now_ns - 50_000_000, PERIOD_NS, actions), now_ns)))
    return plans


def executed(plans):
    """Positions and velocities (N, A) every millisecond, each plan until the next one is sent."""
    pieces = []
    for (begin_ns, plan), (end_ns, _) in itertools.pairwise(plans):
        pieces.append(plan.sample(np.arange(begin_ns, end_ns, 1_000_000)))
    return np.concatenate([p for p, _ in pieces]), np.concatenate([v for _, v in pieces])


@pytest.mark.parametrize("seed", mostly_slow(range(30), 6))
def test_a_joint_slightly_outside_is_led_back_within_its_limits_from_where_it_is(seed):
    rng = np.random.default_rng(seed)
    limits = motion_limits(2, velocity=rng.uniform(0.3, 4.0), acceleration=rng.uniform(1.5, 20.0))
    pipeline = make_pipeline(
        2, limits, plan_horizon=4.0, pose_tolerance=TOLERANCE, soft_start=rng.uniform(0.0, 1.0)
    )
    above = rng.random(2) < 0.5  # (A,)
    outside = TOLERANCE * rng.uniform(0.01, 1.0, 2)  # (A,)
    pose = np.where(above, limits.position_max + outside, limits.position_min - outside)  # (A,)
    target = np.where(rng.random(2) < 0.3, np.sign(pose) * 9.0, rng.uniform(-0.9, 1.4, 2))  # (A,) or beyond
    pipeline.start(pose, T0_NS)
    np.testing.assert_array_equal(pipeline.plan.positions[0], pose)
    plans = run(pipeline, target, 12.0)
    positions, velocities = executed(plans)
    np.testing.assert_allclose(positions[0], pose, atol=1e-9)
    assert (np.abs(velocities) <= limits.velocity * (1 + 1e-6)).all()
    assert (np.abs(np.diff(velocities, axis=0)) <= limits.acceleration * 1.01e-3 + 1e-4).all()
    low, high = np.minimum(limits.position_min, pose), np.maximum(limits.position_max, pose)
    assert (positions >= low - 1e-6).all() and (positions <= high + 1e-6).all(), "never further out"
    goal = np.clip(target, limits.position_min, limits.position_max)
    np.testing.assert_allclose(positions[-1], goal, atol=2e-3)
    if pose[0] > goal[0]:
        assert positions[:, 0].min() >= goal[0] - 5e-3, "no overshoot inside, either"


def test_a_joint_further_outside_is_refused_at_the_start_and_at_a_resume_alike():
    pipeline = make_pipeline(2, pose_tolerance=TOLERANCE)
    with pytest.raises(PlanRejected, match=r"joint_1 is at 1\.6.*\[-1, 1\.5\].*move it back by hand"):
        pipeline.start(np.array([1.6, 0.0]), T0_NS)
    with pytest.raises(PlanRejected, match="joint_2"):
        pipeline.start(np.array([1.5, 1.506]), T0_NS)
    pipeline.start(np.zeros(2), T0_NS)
    pipeline.hold("test", T0_NS)
    for measured in (np.array([1.9, 0.0]), np.array([0.0, 1.506])):
        with pytest.raises(PlanRejected, match="move it back by hand"):
            pipeline.resume(T0_NS + 10**9, measured, np.array([True, True]))
        assert pipeline.state is MotionState.HOLD and pipeline.hold_reason == "test"
    inside = np.array([1.51, 1.504])
    assert pipeline.resume(T0_NS + 10**9, inside, np.array([True, True]))
    np.testing.assert_array_equal(pipeline.plan.positions[0], inside)


def test_a_hold_of_an_arm_that_was_pushed_outside_its_limits_stays_where_it_is():
    pipeline = make_pipeline(2, max_tracking_error=np.full(2, 0.3), pose_tolerance=TOLERANCE)
    pipeline.start(np.array([1.4, 0.0]), T0_NS)
    pushed = np.array([1.9, 0.0])
    plan = pipeline.hold("an arm does not follow", T0_NS, pushed)
    np.testing.assert_array_equal(plan.positions, np.tile(pushed, (len(plan.times_ns), 1)))
    check_plan(plan, pipeline.limits, pipeline.joints, T0_NS, outside=np.inf)
    with pytest.raises(PlanRejected, match=r"joint_1 is at 1\.9"):
        pipeline.resume(T0_NS + 10**9, pushed)
    by_hand = np.array([1.2, 0.0])
    assert pipeline.resume(T0_NS + 10**9, by_hand)
    np.testing.assert_array_equal(pipeline.plan.positions[0], by_hand)


def test_the_plan_check_still_refuses_a_plan_that_leaves_the_limits():
    pipeline = make_pipeline(1, motion_limits(1), pose_tolerance=np.array([0.02]))
    pipeline.start(np.array([1.51]), T0_NS)
    plan = run(pipeline, np.array([0.0]), 0.2)[0][1]
    assert plan.positions[0] == pytest.approx(1.51)
    check_plan(plan, pipeline.limits, pipeline.joints, T0_NS + 7_000_000, 0.02)
    plan.positions[2] = 1.52
    with pytest.raises(PlanRejected, match=r"position 1\.52 of joint_1"):
        check_plan(plan, pipeline.limits, pipeline.joints, T0_NS + 7_000_000, 0.02)
    times_ns, _, _ = dense(plan)
    assert len(times_ns) > 100


def test_a_plan_from_inside_keeps_every_limit():
    pipeline = make_pipeline(2)
    pipeline.start(np.array([1.5, -1.0]), T0_NS)
    for _, plan in run(pipeline, np.array([9.0, -9.0])):
        assert_executable(plan, pipeline.limits)

# SPDX-License-Identifier: Apache-2.0
"""Every plan repeats what was planned before now, so that a controller whose clock is behind sees no jump."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_helpers import PERIOD_NS, T0_NS, assert_executable, make_pipeline

from dit_policy_ros.core.motion import PLAN_HISTORY, Chunk, Plan, check_plan
from dit_policy_ros.sim.controllers import Point, Trajectory, TrajectoryController

MS = 1_000_000
STEP = 5 * MS  # of the controller [ns]


def chunk(rng: np.random.Generator, stamp_ns: int) -> Chunk:
    """A sine, with an offset of its own."""
    times = (stamp_ns - T0_NS + PERIOD_NS * np.arange(31)) * 1e-9
    actions = 0.3 * np.sin(2 * np.pi * 0.4 * times)[:, None] * np.ones((1, 2))
    return Chunk(stamp_ns, PERIOD_NS, actions + rng.normal(0.0, 0.05, (1, 2)))


def assert_agrees(before: Plan, after: Plan, now_ns: int, joints: np.ndarray | None = None) -> None:
    """From PLAN_HISTORY ago until now both plans are the same, as far back as the former one reaches.

    A brake may begin at a knot up to 1 ms before now: 16 mrad/s at 8 rad/s^2 and the same in the plan.
    """
    known_ns = max(now_ns - round(PLAN_HISTORY * 1e9), int(before.times_ns[0]))
    assert after.times_ns[0] <= known_ns
    times_ns = np.linspace(known_ns, now_ns, 60).astype(np.int64)
    columns = slice(None) if joints is None else joints
    for old, new, tolerance in zip(
        before.sample(times_ns), after.sample(times_ns), (1e-5, 0.017), strict=True
    ):
        np.testing.assert_allclose(new[:, columns], old[:, columns], atol=tolerance, rtol=0.0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), holds_after=st.integers(0, 300))
def test_plans_and_braking_plans_repeat_the_last_moments(seed: int, holds_after: int) -> None:
    rng, now_ns = np.random.default_rng(seed), T0_NS
    pipeline = make_pipeline(max_tracking_error=np.full(2, 0.3))
    pipeline.start(np.zeros(2), now_ns)
    for _ in range(6):
        stamp_ns = now_ns
        now_ns += int(rng.integers(20, 150)) * MS
        before = pipeline.plan
        plan = pipeline.add_chunk(chunk(rng, stamp_ns), now_ns)
        assert plan is not None
        assert_agrees(before, plan, now_ns)
        assert_executable(plan, pipeline.limits)
        now_ns += int(rng.integers(0, 120)) * MS
    now_ns += holds_after * MS + int(rng.integers(0, MS))
    before, measured = pipeline.plan, pipeline.plan.sample_at(now_ns)[0]
    lost = rng.random() < 0.5
    brake = pipeline.hold("a test", now_ns, measured + np.array([0.4 * lost, 0.0]))
    assert brake is not None
    check_plan(brake, pipeline.limits, pipeline.joints, now_ns, 1.0)
    assert_agrees(before, brake, now_ns, np.array([1]) if lost else None)
    if lost:  # before now, too, so that the controller does not swing back
        np.testing.assert_allclose(brake.positions[:, 0], measured[0] + 0.4, atol=1e-3)


def test_a_controller_whose_clock_was_set_back_gets_no_history() -> None:
    pipeline = make_pipeline()
    pipeline.start(np.zeros(2), T0_NS)
    pipeline.add_chunk(chunk(np.random.default_rng(0), T0_NS), T0_NS + 50 * MS)
    now_ns = T0_NS - 5_000 * MS
    brake = pipeline.hold("the clock was set back", now_ns, stopped_ns=T0_NS + 300 * MS)
    assert brake is not None and brake.times_ns[0] == now_ns


def trajectory(plan: Plan) -> Trajectory:
    offsets_ns = plan.times_ns - plan.times_ns[0]
    rows = zip(offsets_ns, plan.positions, plan.velocities, strict=True)
    points = tuple(Point(int(o), tuple(p), tuple(v)) for o, p, v in rows)
    return Trajectory(int(plan.times_ns[0]), ("a", "b"), points)


@pytest.mark.parametrize("behind", [0, 15, 30, 50, 100])
def test_a_clock_that_is_behind_ours_makes_no_jump(behind: int) -> None:
    """The measured case: 15 ms behind, the controller restarted from the measured pose, 36 mrad in 5 ms."""
    rng, lag = np.random.default_rng(0), 60 * MS
    pipeline = make_pipeline(soft_start=0.0)
    pipeline.start(np.zeros(2), T0_NS)
    controller = TrajectoryController("controller", ("a", "b"), period_ns=STEP)
    due = {T0_NS + i * 150 * MS + 80 * MS: T0_NS + i * 150 * MS for i in range(30)}
    commands = [np.zeros(2)]
    for now_ns in range(T0_NS, T0_NS + 4_000 * MS, STEP):
        its_ns = now_ns - behind * MS
        if now_ns == T0_NS + 3_200 * MS:
            message = pipeline.hold("a test", now_ns)
        else:
            message = pipeline.add_chunk(chunk(rng, due[now_ns]), now_ns) if now_ns in due else None
        if message is not None:
            assert not controller.accept(trajectory(message), its_ns)
        measured = commands[max(len(commands) - lag // STEP, 0)]  # the arm follows its command late
        commands.append(controller.update(its_ns, measured, np.zeros(2)).copy())
    accelerations = np.abs(np.diff(np.array(commands), 2, axis=0)) / (STEP * 1e-9) ** 2  # (N, A)
    assert accelerations.max() < 1.1 * pipeline.limits.acceleration[0]

# SPDX-License-Identifier: Apache-2.0
"""Searches for a robot, a policy or a timing for which the motion path sends a wrong command.

Each case is a random robot (joints, limits, coupling, grippers) with a random policy (smooth, jumping, noisy,
following its own path or an absolute one), random latencies, holds, resumes, speeds, task changes and clock
offsets. ``make test`` tries 100 of them, ``make test-all`` 2,000.
"""

import numpy as np
import pytest
from mostly_slow import mostly_slow
from motion_helpers import DT, PERIOD_NS, T0_NS, assert_executable, ensemble_settings, make_pipeline

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.motion import PLAN_HISTORY, Chunk, Pipeline, Plan, check_plan
from dit_policy_ros.core.path._limits import Limiter, Target
from dit_policy_ros.core.path._time_scaling import sample_path, smooth_path

MS = 1_000_000
BEYOND = 5e-3  # [rad or m] beyond what the rest of the target spans
SLOW = 1e-2  # [rad/s or m/s] takes half a second, a plan, for BEYOND
OFF_PATH = 2e-3  # [rad or m] of joints that brake together


def random_robot(rng: np.random.Generator) -> Pipeline:
    joints = int(rng.integers(1, 8))
    velocity = 10.0 ** rng.uniform(-0.7, 0.8, joints)  # (A,) 0.2 to 6 rad/s
    limits = Limits(
        np.where(rng.random(joints) < 0.1, -np.inf, -rng.uniform(0.5, 3.0, joints)),
        np.full(joints, np.inf),
        velocity,
        velocity / rng.uniform(0.03, 0.4, joints),  # braking from full speed takes 0.03 to 0.4 s
    )
    upper = np.where(np.isinf(limits.position_min), np.inf, rng.uniform(0.5, 3.0, joints))
    limits = Limits(limits.position_min, upper, limits.velocity, limits.acceleration)
    coupling = np.zeros(joints, np.int64) if rng.random() < 0.7 else rng.integers(0, 3, joints)
    ensemble = ensemble_settings(
        joints,
        temporal_ensemble_coeff=float(rng.uniform(0.0, 0.3)),
        max_disagreement=np.full(joints, rng.choice([0.3, np.inf])),
        coupling=coupling,
        never_averaged=(np.arange(joints) == joints - 1) & (joints > 1) & (rng.random() < 0.5),
        taper_ns=int(rng.choice([0, 200])) * MS,
        continuous=limits.continuous,
    )
    return make_pipeline(
        joints,
        limits,
        ensemble=ensemble,
        soft_start=float(rng.choice([0.0, 0.5])),
        fade_knots=int(rng.integers(0, 7)),
        task_fade=float(rng.choice([0.0, 0.4])),
        max_tracking_error=np.full(joints, 0.3),
    )


def random_chunk(rng: np.random.Generator, pipeline: Pipeline, stamp_ns: int) -> Chunk:
    joints, rows = len(pipeline.joints), int(rng.integers(12, 40))
    size = float(rng.choice([0.02, 0.1, 0.4, 1.0])) * rng.normal(size=joints)  # (A,)
    t = np.linspace(0.0, 1.0, rows)[:, None]  # (T, 1)
    shapes = (
        size * (10 * t**3 - 15 * t**4 + 6 * t**5),
        size * np.sin(2 * np.pi * rng.uniform(0.2, 3.0) * t + rng.uniform(0.0, 6.0)),
        size * np.minimum(t * rng.uniform(1.0, 5.0), 1.0),
        np.where(t > rng.random(), size, 0.0),
        np.cumsum(rng.normal(0.0, 0.05, (rows, joints)) * size, axis=0),
    )
    base = (
        pipeline.plan.sample_at(stamp_ns)[0] if rng.random() < 0.7 else rng.uniform(-0.8, 0.8, joints)
    )  # (A,)
    return Chunk(stamp_ns, PERIOD_NS, base + shapes[rng.integers(len(shapes))])


def assert_history(before: Plan, after: Plan, now_ns: int, until_ns: int) -> None:
    """A controller whose clock is up to PLAN_HISTORY behind ours sees no jump."""
    known_ns = max(now_ns - round(PLAN_HISTORY * 1e9), int(before.times_ns[0]))
    assert after.times_ns[0] <= known_ns
    times_ns = known_ns + np.linspace(0, until_ns - known_ns, 30).astype(np.int64)
    for old, new in zip(before.sample(times_ns), after.sample(times_ns), strict=True):
        np.testing.assert_allclose(new, old, atol=1e-5)


def assert_stays_in_range(pipeline: Pipeline, plan: Plan, now_ns: int) -> None:
    """No joint passes beyond what the rest of its target spans, but for braking that began inside.

    A joint that is outside, because the target turned away from it, must brake at its limit or return.
    """
    splicer, limits = pipeline._active_splicer, pipeline.limits
    frozen = splicer.first_free_knot(now_ns) - 1
    frozen_ns = int(splicer.grid.times_ns(frozen, frozen)[0])
    times_ns = np.arange(frozen_ns, plan.end_ns + 1, MS)
    positions, velocities = plan.sample(times_ns)  # (N, A) both
    acceleration = np.gradient(velocities, 1e-3, axis=0)  # (N, A)
    here, speed = positions[0], velocities[0]  # (A,) both
    for group in pipeline._groups:
        target, joints = group.target, group.joints
        assert target is not None
        low, high = limits.position_min[joints], limits.position_max[joints]
        rows = np.concatenate([here[None, joints], np.clip(target.actions, low, high)])  # (M+1, S)
        passed = (group.clock.at(times_ns) - target.stamp_ns) / target.period_ns + 1.0  # (N,) rows
        row = np.clip(np.floor(passed + 1e-6).astype(int), 0, len(rows) - 1)  # (N,)
        highest = np.maximum.accumulate(rows[::-1])[::-1][row]  # (N, S)
        lowest = np.minimum.accumulate(rows[::-1])[::-1][row]  # (N, S)
        # The frozen velocity cannot be changed at once.
        way = speed[joints] ** 2 / (2 * limits.acceleration[joints]) + np.abs(speed[joints]) * DT  # (S,)
        highest = np.maximum(highest, np.where(speed[joints] > 0, here[joints] + way, -np.inf))
        lowest = np.minimum(lowest, np.where(speed[joints] < 0, here[joints] - way, np.inf))
        # A range that shrinks between two knots is noticed at the next one.
        highest = np.stack([np.roll(highest, k, axis=0) for k in range(0, 37, 4)]).max(axis=0)
        lowest = np.stack([np.roll(lowest, k, axis=0) for k in range(0, 37, 4)]).min(axis=0)
        place, going, change = positions[:, joints], velocities[:, joints], acceleration[:, joints]
        brakes = np.abs(change) > 0.9 * limits.acceleration[joints]  # (N, S)
        brakes |= np.abs(going) < limits.acceleration[joints] * DT  # the rest of it, in one interval
        out = (going > SLOW) & ~(brakes & (change < 0)) & (place > highest + BEYOND)
        out |= (going < -SLOW) & ~(brakes & (change > 0)) & (place < lowest - BEYOND)
        out[:37] = False  # rolled around
        assert not out.any(), np.argwhere(out)[0]


def assert_idempotent(pipeline: Pipeline, plan: Plan) -> None:
    limiter = Limiter(pipeline.limits, DT)
    target = Target.of(plan.positions[1:], plan.velocities[1:])
    again = limiter.follow(plan.positions[0], plan.velocities[0], target)
    np.testing.assert_allclose(again.positions, plan.positions[1:], atol=1e-9)
    assert not again.limited.any()


def assert_on_path(path: np.ndarray, positions: np.ndarray) -> None:
    """Every position (N, S) is near the path (P, S), a fine row of points."""
    step = np.diff(path, axis=0)  # (P-1, S)
    length = np.maximum((step**2).sum(axis=1), 1e-18)  # (P-1,)
    for position in positions[::15]:
        share = np.clip(((position - path[:-1]) * step).sum(axis=1) / length, 0.0, 1.0)  # (P-1,)
        nearest = path[:-1] + share[:, None] * step  # (P-1, S)
        assert np.abs(nearest - position).max(axis=1).min() < OFF_PATH


def hold_and_resume(rng: np.random.Generator, pipeline: Pipeline, now_ns: int) -> int:
    """A HOLD at any instant; returns the time of the resume [ns]."""
    before, clamped = pipeline.plan, pipeline.clamped_knots
    kind = rng.integers(3)
    moved = before.sample_at(now_ns)[0] + rng.uniform(-0.4, 0.4, len(pipeline.joints))  # (A,)
    moved = np.clip(moved, pipeline.limits.position_min, pipeline.limits.position_max)
    brake = pipeline.hold(
        "a test", now_ns, moved if kind == 1 else None, now_ns - 20 * MS if kind == 2 else None
    )
    assert brake is not None
    check_plan(brake, pipeline.limits, pipeline.joints, now_ns, 1e-6)
    if kind == 0:
        # A brake may begin at the knot that was up to 1 ms ago.
        assert_history(before, brake, now_ns, max(now_ns - MS, int(before.times_ns[0])))
        if pipeline.clamped_knots == clamped:  # the joints brake together
            path = before.sample(np.arange(now_ns - 5 * MS, before.end_ns + MS, MS))[0]
            times_ns = np.arange(now_ns, brake.end_ns - 9_000 * MS, MS)
            for group in pipeline._groups:
                joints = group.joints[~pipeline._followers[group.joints]]  # grippers may break off
                if len(joints):
                    assert_on_path(path[:, joints], brake.sample(times_ns)[0][:, joints])
    while not pipeline.resume(now_ns):
        now_ns += 10 * MS
    return now_ns


def run_case(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pipeline, now_ns = random_robot(rng), T0_NS
    pipeline.start(rng.uniform(-0.4, 0.4, len(pipeline.joints)), now_ns)
    if rng.random() < 0.5:
        pipeline.set_velocity_scale(float(rng.uniform(0.05, 1.0)))
    for _ in range(8):
        stamp_ns = now_ns
        now_ns += int(rng.integers(20, 200)) * MS
        before = pipeline.plan
        plan = pipeline.add_chunk(random_chunk(rng, pipeline, stamp_ns), now_ns)
        if plan is not None:
            assert_executable(plan, pipeline.limits)
            assert_history(before, plan, now_ns, now_ns)
            assert_stays_in_range(pipeline, plan, now_ns)
            assert_idempotent(pipeline, plan)
        now_ns += int(rng.integers(0, 150)) * MS
        event = rng.random()
        if event < 0.15:
            now_ns = hold_and_resume(rng, pipeline, now_ns)
        elif event < 0.25:
            pipeline.set_velocity_scale(float(rng.uniform(0.05, 1.0)))
        elif event < 0.3:
            pipeline.change_task()


@pytest.mark.parametrize("first", mostly_slow(range(0, 100, 10), 5))
def test_no_command_is_wrong(first: int) -> None:
    for seed in range(first, first + 10):
        run_case(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 2000, 100))
def test_no_command_is_wrong_in_many_cases(first: int) -> None:
    for seed in range(first, first + 100):
        run_case(seed)


@pytest.mark.parametrize("seed", mostly_slow(range(20), 5))
def test_a_slower_motion_takes_the_same_path(seed: int) -> None:
    """Whatever makes it slower: velocity_scale, or limits that are lower than the policy needs."""
    rng = np.random.default_rng(seed)
    joints, goal = 6, rng.uniform(-0.9, 0.9, 6)
    t = np.clip((np.arange(50.0) - 8.0) / 40.0, 0.0, 1.0)[:, None]  # (T, 1) it waits a little first
    bow = rng.uniform(-0.2, 0.2, 6) * np.sin(np.pi * t)  # (T, A)
    actions = goal * (10 * t**3 - 15 * t**4 + 6 * t**5) + bow
    rows, tangents = smooth_path(actions)
    fine = np.linspace(0.0, len(rows) - 1.0, 4000)
    path = sample_path(rows, tangents, fine, np.ones(4000))[0]
    for scale, share in ((1.0, 1.0), (0.5, 1.0), (0.1, 1.0), (1.0, 0.5), (1.0, 0.25), (0.3, 0.25)):
        limits = Limits(np.full(6, -2.0), np.full(6, 2.0), np.full(6, 1.5 * share), np.full(6, 6.0 * share))
        pipeline = make_pipeline(joints, limits, soft_start=0.0, plan_horizon=12.0)
        pipeline.set_velocity_scale(scale)
        pipeline.start(np.zeros(joints), T0_NS)
        plan = pipeline.add_chunk(Chunk(T0_NS, PERIOD_NS, actions), T0_NS + MS)
        assert pipeline.clamped_knots == 0
        times_ns = np.arange(T0_NS, plan.end_ns, 5 * MS)
        assert_on_path(path, plan.sample(times_ns)[0])
        assert np.abs(plan.sample(times_ns)[1]).max() <= scale * limits.velocity[0] * (1 + 1e-6)


def test_two_joints_on_a_straight_line_stay_on_it_at_any_speed() -> None:
    """The measured case: joint 2 left the line by 176 mrad at a tenth of the speed."""
    line = np.linspace(0.0, 1.0, 31)[:, None] * [1.0, 0.25]
    for scale in (0.1, 0.3, 0.5, 1.0):
        pipeline = make_pipeline(2, soft_start=0.0)
        pipeline.set_velocity_scale(scale)
        pipeline.start(np.zeros(2), T0_NS)
        for i in range(70):
            stamp_ns = T0_NS + i * 200 * MS
            chunk = Chunk(
                stamp_ns, PERIOD_NS, np.minimum(pipeline.plan.sample_at(stamp_ns)[0] + line, [1.0, 0.25])
            )
            now_ns = stamp_ns + 80 * MS
            plan = pipeline.add_chunk(chunk, now_ns)
            positions = plan.sample(np.arange(now_ns, now_ns + 200 * MS, MS))[0]
            assert np.abs(positions[:, 1] - 0.25 * positions[:, 0]).max() < OFF_PATH
            if 0.1 < positions[-1, 0] < 0.9:
                brake = make_copy(pipeline).hold("a test", now_ns + 100 * MS)
                held = brake.sample(np.arange(now_ns, brake.end_ns, MS))[0]
                assert np.abs(held[:, 1] - 0.25 * held[:, 0]).max() < OFF_PATH
        assert pipeline.plan.positions[-1] == pytest.approx([1.0, 0.25], abs=2e-3)


def make_copy(pipeline: Pipeline) -> Pipeline:
    import copy

    return copy.deepcopy(pipeline)


@pytest.mark.parametrize(
    ("duration", "velocity", "share", "distance"),
    [
        (0.6, 2.5, None, 1.0),
        *((0.6, 9.0, share, 1.0) for share in (0.8, 0.7, 0.6, 0.5)),
        (1.2, 2.5, 0.3, 1.0),
    ],
)
def test_a_fast_reach_never_passes_its_goal(duration, velocity, share, distance) -> None:
    """The measured cases: a minimum-jerk reach whose own peak acceleration is beyond the limit.

    It passed its goal by 110 to 499 mrad.
    """
    peak = 5.7735 * distance / duration**2
    limits = Limits(
        np.full(1, -3.0),
        np.full(1, 3.0),
        np.full(1, velocity),
        np.full(1, 8.0 if share is None else share * peak),
    )
    pipeline = make_pipeline(1, limits, soft_start=0.0, plan_horizon=velocity / limits.acceleration[0] + 0.3)
    pipeline.start(np.zeros(1), T0_NS)
    highest = 0.0
    for i in range(25):
        stamp_ns = T0_NS + i * 200 * MS
        u = np.clip((i * 0.2 + DT * np.arange(40)) / duration, 0.0, 1.0)
        actions = distance * (10 * u**3 - 15 * u**4 + 6 * u**5)
        plan = pipeline.add_chunk(Chunk(stamp_ns, PERIOD_NS, actions[:, None]), stamp_ns + 80 * MS)
        highest = max(highest, plan.sample(np.arange(stamp_ns, plan.end_ns, MS))[0].max())
    assert distance - 2e-3 < highest < distance + BEYOND


@pytest.mark.parametrize("jump", [0.5, 1.0])
def test_a_jump_of_the_policy_is_followed_without_overshoot(jump: float) -> None:
    """The measured case: 33 to 219 mrad beyond."""
    pipeline = make_pipeline(2, soft_start=0.0)
    pipeline.start(np.zeros(2), T0_NS)
    positions = []
    for i in range(20):
        stamp_ns = T0_NS + i * 200 * MS
        goal = np.array([0.0, 0.0]) if i < 5 else np.array([jump, -0.5 * jump])
        chunk = Chunk(stamp_ns, PERIOD_NS, np.tile(goal, (31, 1)))
        now_ns = stamp_ns + 80 * MS
        plan = pipeline.add_chunk(chunk, now_ns)
        positions.append(plan.sample(np.arange(now_ns, now_ns + 200 * MS, MS))[0])
    moved = np.concatenate(positions)
    assert moved[:, 0].max() < jump + BEYOND and moved[:, 1].min() > -0.5 * jump - BEYOND
    assert moved[-1] == pytest.approx([jump, -0.5 * jump], abs=2e-3)

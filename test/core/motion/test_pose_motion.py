# SPDX-License-Identifier: Apache-2.0
"""Arms that are controlled by poses keep the limits of their end effectors, whatever a policy asks.

A search: random policies in a dataset's entries, with noise in the rotations, jumps, latencies, holds and
resumes. What leaves is judged as poses, not as the coordinates of the motion path.
"""

import numpy as np
import pytest
from motion_helpers import DT, PERIOD_NS, T0_NS, ensemble_settings
from pose_robot import ANGULAR, LINEAR, pose_contract

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.motion import Chunk, MotionSettings, Pipeline, Plan
from dit_policy_ros.core.poses import rotation_angle, rotation_from_vector, rotation_vector

MS = 1_000_000
CONTRACT = pose_contract()
ARMS = [(each, CONTRACT.indices(each)) for each in CONTRACT.controllers if each.pose is not None]
START = np.tile([0.05, 0.1, 0.25, 0.0, 0.0, 0.0, 0.02], 2)
ROUNDING = 1.0 + 1e-3  # of finite differences over 1 ms


def make_pipeline(contract: Contract = CONTRACT, start: np.ndarray = START) -> Pipeline:
    settings = MotionSettings(
        ensemble=ensemble_settings(14, never_averaged=contract.gripper_mask),
        plan_horizon=0.6,
        fade_knots=5,
        soft_start=0.3,
        max_tracking_error=np.full(14, np.inf),
    )
    pipeline = Pipeline(contract.joints, contract.limits, contract.dt_ns, settings)
    pipeline.start(start, T0_NS)
    return pipeline


class Executed:
    """What the controllers of poses are told, every millisecond, (N, 14)."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []
        self._until_ns = T0_NS

    def follow(self, plan: Plan, until_ns: int) -> None:
        times_ns = np.arange(self._until_ns, until_ns, MS, dtype=np.int64)
        self.rows.append(plan.sample(times_ns)[0])
        self._until_ns = int(times_ns[-1]) + MS if len(times_ns) else self._until_ns

    def assert_within_limits(self) -> None:
        rows = np.concatenate(self.rows)
        for controller, columns in ARMS:
            assert controller.pose is not None
            pose = rows[:, columns]
            velocity = np.diff(pose[:, :3], axis=0) * 1e3
            assert np.linalg.norm(velocity, axis=1).max() <= LINEAR[0] * ROUNDING
            assert np.linalg.norm(np.diff(velocity, axis=0), axis=1).max() * 1e3 <= LINEAR[1] * ROUNDING
            matrices = controller.pose.chart.matrix(pose)
            spin = rotation_vector(matrices[1:] @ np.swapaxes(matrices[:-1], 1, 2)) * 1e3
            assert np.linalg.norm(spin, axis=1).max() <= ANGULAR[0] * ROUNDING
            assert np.linalg.norm(np.diff(spin, axis=0), axis=1).max() * 1e3 <= ANGULAR[1] * ROUNDING
            low, high = CONTRACT.limits.position_min[columns], CONTRACT.limits.position_max[columns]
            assert (pose >= low - 1e-9).all()
            assert (pose <= high + 1e-9).all()


def random_chunk(rng: np.random.Generator, stamp_ns: int, here: np.ndarray) -> Chunk:
    """A policy's chunk (31, 14), by way of the dataset's entries: noisy rotations, often with jumps."""
    t = np.linspace(0.0, 1.0, 31)[:, None]
    goal = here + rng.normal(size=14) * np.tile([0.1, 0.1, 0.1, 0.8, 0.8, 0.8, 0.01], 2)
    shape = (t, 3 * t**2 - 2 * t**3, np.sin(2 * np.pi * rng.uniform(0.2, 2.0) * t), t > rng.random())
    joints = here + (goal - here) * shape[rng.integers(4)]
    low, high = CONTRACT.limits.position_min, CONTRACT.limits.position_max
    joints = np.clip(joints, low, high)
    for _, columns in ARMS:  # stay within the largest rotation
        turn = joints[:, columns[3:]]
        length = np.linalg.norm(turn, axis=1, keepdims=True)
        joints[:, columns[3:]] = turn * np.minimum(1.0, 2.4 / np.maximum(length, 1e-9))
    entries = CONTRACT.layout.to_entries(joints)
    entries += rng.normal(scale=rng.choice([0.0, 0.002, 0.01]), size=entries.shape)
    return Chunk(stamp_ns, PERIOD_NS, CONTRACT.layout.to_joints(entries))


def search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = START.copy()
    for _, columns in ARMS:
        start[columns[3:]] = np.clip(
            rotation_vector(rotation_from_vector(rng.normal(size=3) * 0.8)), -1.4, 1.4
        )
    pipeline, executed = make_pipeline(start=start), Executed()
    now_ns = T0_NS
    for _ in range(int(rng.integers(5, 25))):
        now_ns += int(rng.integers(1, 250)) * MS
        executed.follow(pipeline.plan, now_ns)
        if rng.random() < 0.1:
            pipeline.hold("test", now_ns)
        elif pipeline.hold_reason:
            pipeline.resume(now_ns)
        else:
            here = pipeline.plan.sample_at(now_ns)[0] if rng.random() < 0.8 else start
            pipeline.add_chunk(random_chunk(rng, now_ns - int(rng.integers(0, 120)) * MS, here), now_ns)
    executed.follow(pipeline.plan, now_ns + 3_000 * MS)
    executed.assert_within_limits()


def test_no_policy_makes_an_end_effector_break_its_limits() -> None:
    for seed in range(8):
        search(seed)


@pytest.mark.slow
def test_no_policy_makes_an_end_effector_break_its_limits_in_many_tries() -> None:
    for seed in range(100, 400):
        search(seed)


def executed_way(goal: np.ndarray, seconds: float, velocity_scale: float = 1.0) -> np.ndarray:
    """What is commanded (N, 14), if every chunk asks for a straight way from START to ``goal`` and stays."""
    pipeline, executed = make_pipeline(), Executed()
    pipeline.set_velocity_scale(velocity_scale)
    begin_ns, now_ns = T0_NS + 200 * MS, T0_NS
    for step in range(120):
        now_ns = T0_NS + 100 * MS * step + MS
        executed.follow(pipeline.plan, now_ns)
        times = (now_ns - 80 * MS - begin_ns) * 1e-9 + DT * np.arange(31)  # [s]
        share = np.clip(times / seconds, 0.0, 1.0)[:, None]
        pipeline.add_chunk(Chunk(now_ns - 80 * MS, PERIOD_NS, START + share * (goal - START)), now_ns)
    executed.follow(pipeline.plan, now_ns + 1_000 * MS)
    executed.assert_within_limits()
    return np.concatenate(executed.rows)


def test_position_and_rotation_go_slower_together_and_overshoot_nothing() -> None:
    """Faster than any limit: both arms stay on their line and arrive, within 5 mm and 5 mrad."""
    rng = np.random.default_rng(3)
    for scale in (1.0, 0.3):
        goal = START.copy()
        for _, columns in ARMS:
            goal[columns] += rng.normal(size=6) * [0.08, 0.08, 0.08, 0.4, 0.4, 0.4]
        rows = executed_way(goal, seconds=0.2, velocity_scale=scale)
        arms = np.concatenate([columns for _, columns in ARMS])
        way = (goal - START)[arms]
        progress = ((rows[:, arms] - START[arms]) @ way) / (way @ way)  # (N,)
        off = rows[:, arms] - START[arms] - progress[:, None] * way  # (N, 12)
        for first in (0, 6):
            assert np.linalg.norm(off[:, first : first + 3], axis=1).max() < 5e-3
            assert np.linalg.norm(off[:, first + 3 : first + 6], axis=1).max() < 5e-3
        beyond = (progress.max() - 1.0) * way
        for first in (0, 6):
            assert np.linalg.norm(beyond[first : first + 3]) < 5e-3 or progress.max() <= 1.0
            assert np.linalg.norm(beyond[first + 3 : first + 6]) < 5e-3 or progress.max() <= 1.0
        if scale == 1.0:
            np.testing.assert_allclose(rows[-1, arms], goal[arms], atol=2e-3)


def test_hold_brakes_along_the_path_of_the_pose() -> None:
    pipeline, executed = make_pipeline(), Executed()
    goal = START.copy()
    goal[ARMS[0][1]] += [0.2, 0.1, 0.0, 0.9, 0.0, 0.6]
    for step in range(12):
        now_ns = T0_NS + 100 * MS * step + MS
        executed.follow(pipeline.plan, now_ns)
        share = np.clip(((now_ns - T0_NS) * 1e-9 + DT * np.arange(31)) / 4.0, 0.0, 1.0)[:, None]
        pipeline.add_chunk(Chunk(now_ns, PERIOD_NS, START + share * (goal - START)), now_ns)
    hold_ns = now_ns + 40 * MS
    before, velocity = pipeline.plan.sample_at(hold_ns)
    assert np.linalg.norm(velocity[:3]) > 0.03, "the arm moves"
    executed.follow(pipeline.plan, hold_ns)
    plan = pipeline.hold("test", hold_ns)
    assert plan is not None
    executed.follow(plan, hold_ns + 2_000 * MS)
    executed.assert_within_limits()
    columns, pose = ARMS[0][1], ARMS[0][0].pose
    assert pose is not None
    last = plan.positions[-1, columns]
    way = (goal - START)[columns]
    passed = ((last - before[columns]) @ way) / (way @ way)
    assert 0.0 < passed < 0.2
    np.testing.assert_allclose(last, before[columns] + passed * way, atol=5e-3)
    assert rotation_angle(pose.chart.matrix(last), pose.chart.matrix(before[columns])) < 0.3


def test_a_chunk_that_leaves_the_workspace_is_told_apart_from_one_at_its_edge() -> None:
    rows = np.tile(START, (5, 1))
    rows[3, 2] = 0.61
    assert CONTRACT.outside_workspace(rows) == "", "1 cm outside is limited to the workspace"
    rows[3, 2] = 0.65
    assert "left_pose_controller: z = 0.65 m" in CONTRACT.outside_workspace(rows)

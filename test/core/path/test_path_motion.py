# SPDX-License-Identifier: Apache-2.0
"""How fast a group of joints goes along its path."""

import numpy as np
import pytest
from motion_helpers import DT, motion_limits

from dit_policy_ros.core.path import Path, PathDriver
from dit_policy_ros.core.path._time_scaling import smooth_path

LIMITS = motion_limits(2)  # 2.5 rad/s, 8 rad/s^2
BOTH = np.ones(2, bool)
KNOTS = 18


def straight(step: float, rows: int, share: float = 0.5) -> np.ndarray:
    """Rows (M+1, 2) on a line, ``step`` apart for joint 1."""
    return step * np.arange(rows)[:, None] * [1.0, share]


def gentle(rows: int = 40) -> np.ndarray:
    """A reach by 0.4 and 0.2 rad from rest to rest."""
    u = np.minimum(np.arange(rows)[:, None] / (rows - 2), 1.0)
    return (10 * u**3 - 15 * u**4 + 6 * u**5) * [0.4, 0.2]


def test_a_gentle_motion_is_not_slowed_down() -> None:
    rows = gentle()
    motion = PathDriver(LIMITS, BOTH, DT).drive(Path(rows, np.zeros(2), 0.0, 1.0), 60)
    assert len(motion.positions) == 39, "it ends with the path"
    np.testing.assert_array_equal(motion.progress, np.arange(1, 40))
    np.testing.assert_allclose(motion.positions, smooth_path(rows)[0][1:])
    assert not motion.slowed.any() and not any(count.any() for count in motion.counts.values())


def test_a_plan_that_ends_before_its_path_only_brakes_at_its_end() -> None:
    """0.6 rad/s at 95 % of 8 rad/s^2 take three knots."""
    rows = straight(0.02, 60)
    motion = PathDriver(LIMITS, BOTH, DT).drive(Path(rows, np.array([0.6, 0.3]), 0.0, 1.0), KNOTS)
    np.testing.assert_allclose(motion.velocities[:-3], np.tile([0.6, 0.3], (KNOTS - 3, 1)))
    np.testing.assert_allclose(motion.velocities[-3:, 0], [0.4, 0.2, 0.0], atol=1e-12)
    assert not motion.slowed.any(), "a brake because the plan ends is no limit"


def test_a_joint_that_is_too_fast_slows_its_group_down() -> None:
    rows = straight(0.1, 60)  # joint 1 at 3 rad/s
    motion = PathDriver(LIMITS, BOTH, DT).drive(Path(rows, np.zeros(2), 0.0, 1.0), 30)
    assert np.abs(motion.velocities[:, 0]).max() == pytest.approx(0.98 * 2.5, rel=1e-6)
    np.testing.assert_allclose(motion.positions[:, 1], 0.5 * motion.positions[:, 0], atol=1e-12)
    assert motion.slowed[0] and motion.slowed.sum() > 15 and not motion.slowed[-5:].any()
    assert motion.counts["velocity"].tolist() == [30, 0]
    assert (motion.counts["acceleration"] > 0).all(), "both would jump to their speed"
    assert not motion.velocities[-1].any()


def test_a_gripper_follows_as_fast_as_it_likes() -> None:
    rows = np.stack([0.02 * np.arange(60), np.where(np.arange(60) < 10, 0.0, 0.8)], axis=1)
    path = Path(rows, np.array([0.6, 0.0]), 0.0, 1.0)
    motion = PathDriver(LIMITS, np.array([True, False]), DT).drive(path, KNOTS)
    np.testing.assert_allclose(motion.velocities[:-3, 0], 0.6)
    assert not motion.slowed.any() and not any(count.any() for count in motion.counts.values())
    slowed = PathDriver(LIMITS, BOTH, DT).drive(path, 40)
    assert slowed.slowed.any() and slowed.counts["velocity"].tolist() == [0, 2]


def test_a_group_of_grippers_keeps_the_wanted_rate() -> None:
    rows = straight(0.2, 12)
    driver = PathDriver(LIMITS, np.zeros(2, bool), DT)
    motion = driver.drive(Path(rows, np.zeros(2), 0.0, 0.5), KNOTS)
    np.testing.assert_allclose(motion.progress, 0.5 * np.arange(1, KNOTS + 1))
    far = driver.drive(Path(rows, np.zeros(2), 0.0, 0.9), KNOTS)
    assert far.progress[-1] == 11.0 and len(far.progress) == KNOTS
    np.testing.assert_allclose(far.positions[-1], rows[-1])


@pytest.mark.parametrize("max_rate", [0.8, 0.3, 0.1])
def test_joints_that_are_too_fast_brake_to_the_wanted_rate(max_rate: float) -> None:
    motion = PathDriver(LIMITS, BOTH, DT).drive(
        Path(straight(0.05, 60), np.array([1.5, 0.75]), 0.0, max_rate), KNOTS
    )
    changes = np.diff(motion.velocities[:, 0], prepend=1.5) / DT
    assert (np.abs(changes) <= 8.0 * (1 + 1e-6)).all()
    assert motion.velocities[:-6, 0].min() == pytest.approx(1.5 * max_rate, rel=0.02)
    assert not motion.slowed.any(), "the wanted rate is no limit"


@pytest.mark.parametrize(("delay", "hurries"), [(0.1, False), (0.2, True), (3.0, True)])
def test_a_delay_that_is_worth_it_is_made_up_for(delay: float, hurries: bool) -> None:
    rows = straight(0.02, 80)
    motion = PathDriver(LIMITS, BOTH, DT).drive(Path(rows, np.array([0.6, 0.3]), delay, 1.0), 40)
    in_time = PathDriver(LIMITS, BOTH, DT).drive(Path(rows, np.array([0.6, 0.3]), 0.0, 1.0), 40)
    ahead = motion.progress[34] - in_time.progress[34]
    assert ahead == pytest.approx(delay if hurries else 0.0, abs=0.02)
    assert np.diff(motion.progress).max() <= 1.25 + 1e-9


@pytest.mark.parametrize("rows", [2, 3, 5])
def test_a_path_that_ends_soon_gets_the_time_to_brake(rows: int) -> None:
    """1.2 rad/s take 0.15 s, more than four knots, though the target has ended by then."""
    path = Path(straight(0.04, rows), np.array([1.2, 0.6]), 0.0, 1.0)
    motion = PathDriver(LIMITS, BOTH, DT).drive(path, KNOTS)
    assert len(motion.positions) >= 5
    np.testing.assert_array_equal(motion.velocities[-1], 0.0)
    np.testing.assert_allclose(motion.positions[-1], path.rows[-1], atol=1e-12)


def test_nearly_every_motion_rests_in_time_though_its_path_bends() -> None:
    """Where the whole limit is not enough for a last brake in a bend, the next try uses less of it."""
    moving, tries = 0, 150
    for seed in range(tries):
        rng = np.random.default_rng(seed)
        joints = int(rng.integers(1, 5))
        rows = np.cumsum(np.cumsum(rng.normal(0.0, 0.02, (60, joints)), axis=0), axis=0)
        driver = PathDriver(motion_limits(joints), np.ones(joints, bool), DT)
        motion = driver.drive(Path(rows, np.zeros(joints), 0.0, 1.0), int(rng.integers(12, 20)))
        moving += np.abs(motion.velocities[-1]).max() > 0.05
    assert moving <= 0.02 * tries


@pytest.mark.parametrize(("transition", "is_slowed"), [(0, True), (7, False), (4, True)])
def test_only_the_way_from_another_motion_to_this_one_is_no_reason_to_slow_down(
    transition, is_slowed
) -> None:
    """Joint 1 goes steadily; joint 2 swings over by 0.1 rad within five rows, which breaks its limit."""
    rows = straight(0.01, 40)  # (41, 2) 0.3 rad/s
    rows[:, 1] = 0.1 * np.clip(np.arange(40) / 5.0, 0.0, 1.0) ** 2
    path = Path(rows, np.array([0.3, 0.0]), 0.0, 1.0, transition)
    motion = PathDriver(LIMITS, BOTH, DT).drive(path, KNOTS)
    assert motion.slowed.any() == is_slowed
    assert (motion.progress[9] > 9.9) != is_slowed
    assert motion.counts["acceleration"].tolist()[1] > 0, "it is counted in both cases"

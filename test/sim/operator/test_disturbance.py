# SPDX-License-Identifier: Apache-2.0
"""What leads the arms of demonstrations astray, and where they begin."""

import numpy as np
import pytest

from dit_policy_ros.sim.operator import Disturbance, StartPoses
from dit_policy_ros.sim.robot import FPS, JOINTS, BimanualSim
from dit_policy_ros.sim.tasks import find_task, first_arm

GRIPPERS = [i for i, name in enumerate(JOINTS) if "gripper" in name]
ARMS = [i for i in range(len(JOINTS)) if i not in GRIPPERS]
SIGMA = 0.006  # [rad]


def errors(seconds: int, **options: float) -> np.ndarray:
    """(N, 14) [rad]."""
    disturbance = Disturbance(np.random.default_rng(1), SIGMA, **options)
    return np.array([disturbance.step() for _ in range(round(seconds * FPS))])


def test_the_error_of_arms_is_slow_and_grippers_have_none() -> None:
    found = errors(60)
    assert not found[:, GRIPPERS].any()
    spread = found[round(FPS) :, ARMS].std()
    assert 0.4 * SIGMA < spread < SIGMA, "the second smoothing takes a part"
    assert np.abs(np.diff(found, axis=0)).max() < SIGMA, "no jump from one period to the next"


def test_knocks_move_the_arms_further_and_decay() -> None:
    calm, knocked = errors(120), errors(120, knock_rate=0.3)
    assert np.abs(knocked).max() > 3 * np.abs(calm).max() > 0.0
    assert np.abs(knocked).max() < 0.2, "an arm that is knocked stays in reach"
    # Between knocks the error is the same as without knocks: the median hardly changes.
    assert np.median(np.abs(knocked[:, ARMS])) < 2.5 * np.median(np.abs(calm[:, ARMS]))


def test_without_knocks_the_random_numbers_do_not_change() -> None:
    rng = np.random.default_rng(5)
    Disturbance(rng, SIGMA).step()
    expected = np.random.default_rng(5)
    expected.normal(size=len(JOINTS))
    assert rng.random() == expected.random()


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_arm_begins_over_the_mat_and_the_rest_is_where_it_was(side: str) -> None:
    starts = StartPoses(np.random.default_rng(2))
    with BimanualSim(3) as sim:
        points = []
        for seed in range(8):
            sim.reset(seed=seed)
            before, cubes = sim.joint_positions, sim.cube_poses()
            starts.anywhere(sim, side)
            mine = slice(0, 6) if side == "left" else slice(7, 13)
            others = np.delete(np.arange(14), np.arange(14)[mine])
            np.testing.assert_array_equal(sim.joint_positions[others], before[others])
            np.testing.assert_array_equal(sim.command, sim.joint_positions, "it stays there")
            np.testing.assert_allclose(sim.cube_poses(), cubes, atol=1e-9)
            points.append(sim.tcp(side))
    points = np.array(points)  # (8, 3) [m]
    assert np.abs(points[:, :2]).max() < 0.16 and points[:, 2].min() > 0.08
    assert np.ptp(points, axis=0).min() > 0.05, "anywhere, not at one place"


def test_the_first_arm_of_each_family() -> None:
    assert first_arm(find_task("lift the red cube with the left arm")) == "left"
    assert first_arm(find_task("touch the red cube with the right arm")) == "right"
    assert first_arm(find_task("hand the red cube from the right to the left arm")) == "right"
    assert first_arm(find_task("push the red cube to the left zone")) == "right"
    assert first_arm(find_task("push the red cube to the right zone")) == "left"

# SPDX-License-Identifier: Apache-2.0
"""An operator that first comes to beside an object, and corrects."""

import numpy as np
import pytest

from dit_policy_ros.sim.operator import Operator
from dit_policy_ros.sim.operator._hand import Hand, Pose
from dit_policy_ros.sim.robot import CUBE_EDGE, BimanualSim
from dit_policy_ros.sim.tasks import HandOver, Lift, Push, Task, run_trial, suite

AIM_ERROR = 0.03  # [m]
HIGH, LOW = (0.08, 0.12), (-0.01, 0.005)  # [m] of the tool point over a cube's middle
HERE = Pose(np.array([0.1, 0.0, 0.2]), np.eye(3))


@pytest.fixture(scope="module")
def sim() -> BimanualSim:
    return BimanualSim(0)


def offsets_of_lifts(sim: BimanualSim, aim_error: float) -> tuple[np.ndarray, np.ndarray]:
    """Of 8 lifts, the smallest level distances [m] to the cube above it, (8,), and beside it, (8,)."""
    found = []
    for seed in range(8):
        task = Lift("left" if seed % 2 else "right", ("red", "green", "blue")[seed % 3])
        sim.reset(seed=seed)
        operator = Operator(np.random.default_rng(seed), aim_error)
        operator.begin(sim, task)
        nearest = {HIGH: np.inf, LOW: np.inf}

        def act(
            sim: BimanualSim, operator: Operator = operator, task: Lift = task, nearest: dict = nearest
        ) -> np.ndarray:
            beside = sim.tcp(task.side) - sim.cube_position(task.colour)  # (3,) [m]
            for low, high in nearest:
                if low < beside[2] < high and sim.cube_position(task.colour)[2] < CUBE_EDGE:
                    nearest[low, high] = min(nearest[low, high], float(np.hypot(*beside[:2])))
            return operator.act(sim)

        assert run_trial(sim, task, act).success
        found.append((nearest[HIGH], nearest[LOW]))
    high, low = np.array(found).T
    return high, low


def test_a_hand_comes_to_beside_an_object_and_still_grasps_it(sim: BimanualSim) -> None:
    straight, beside = (offsets_of_lifts(sim, error) for error in (0.0, AIM_ERROR))
    assert straight[0].max() < 0.01, "without the error it comes straight"
    assert np.median(beside[0]) > 0.015, "above the object it is beside"
    assert beside[1].max() < 0.01, "it grasps where the cube is"


def test_the_error_is_level_and_as_large_as_asked() -> None:
    hand = Hand("left", np.random.default_rng(0), AIM_ERROR)
    for share in (1.0, 0.5):
        moved = np.array([hand.aimed(HERE, share).point - HERE.point for _ in range(2000)])  # (N, 3)
        assert not moved[:, 2].any()
        np.testing.assert_allclose(moved[:, :2].std(axis=0), share * AIM_ERROR, rtol=0.1)
        assert np.abs(moved.mean(axis=0)).max() < 0.1 * AIM_ERROR


def test_without_an_error_the_random_numbers_do_not_change() -> None:
    rng = np.random.default_rng(5)
    assert Hand("left", rng).aimed(HERE) is HERE
    assert rng.random() == np.random.default_rng(5).random()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Lift, HandOver, Push])
def test_the_largest_error_still_ends_in_success(sim: BimanualSim, kind: type[Task]) -> None:
    done = []
    for seed, task in enumerate([task for task in suite() if isinstance(task, kind)] * 2):
        sim.reset(seed=900 + seed)
        operator = Operator(np.random.default_rng(seed), 0.05)
        operator.begin(sim, task)
        done.append(run_trial(sim, task, operator.act).success)
    assert np.mean(done) >= 0.8, "an attempt that fails is discarded and recorded again"

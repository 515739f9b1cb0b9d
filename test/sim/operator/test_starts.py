# SPDX-License-Identifier: Apache-2.0
"""Where arms may stand when a demonstration begins."""

from collections.abc import Iterator

import numpy as np
import pytest

from dit_policy_ros.sim.operator import Operator, StartPoses
from dit_policy_ros.sim.operator._hand import OPEN
from dit_policy_ros.sim.robot import HOME, JOINTS, BimanualSim
from dit_policy_ros.sim.tasks import Lift, Push, first_arm, run_trial


@pytest.fixture(scope="module")
def sim() -> Iterator[BimanualSim]:
    with BimanualSim(seed=1, width=32, height=24) as made:
        yield made


@pytest.mark.parametrize("task", [Lift("left", "red"), Push("blue", "left")])
def test_near_its_cube_an_arm_stands_as_if_it_had_missed(sim: BimanualSim, task: Lift | Push) -> None:
    starts, side = StartPoses(np.random.default_rng(0)), first_arm(task)
    gripper = JOINTS.index(f"{side}_gripper")
    offsets, grippers = [], []
    for seed in range(30):
        sim.reset(seed=seed)
        cubes = sim.cube_frames()
        starts.near(sim, task)
        np.testing.assert_array_equal(sim.cube_frames(), cubes)
        rests = [i for i, name in enumerate(JOINTS) if not name.startswith(side)]
        np.testing.assert_allclose(sim.joint_positions[rests], HOME[rests], atol=1e-9)
        np.testing.assert_array_equal(sim.joint_positions, sim.command)
        offsets.append(sim.tcp(side) - sim.cube_position(task.colour))
        grippers.append(sim.joint_positions[gripper])
    beside, over = np.array(offsets)[:, :2], np.array(offsets)[:, 2]
    assert (np.linalg.norm(beside, axis=1) < 0.12).all() and 0.015 < beside.std() < 0.035
    assert (over > 0.035).all() and (over < 0.125).all(), "over the cube, not in it"
    closed = np.isclose(grippers, 0.0, atol=1e-6)
    assert 0.2 < closed.mean() < 0.8 and (np.array(grippers) <= OPEN + 1e-6).all()


def test_the_operator_goes_on_from_there(sim: BimanualSim) -> None:
    rng, task = np.random.default_rng(0), Lift("right", "green")
    starts, operator = StartPoses(rng), Operator(rng)
    for seed in range(3):
        sim.reset(seed=seed)
        starts.near(sim, task)
        operator.begin(sim, task)
        assert run_trial(sim, task, operator.act).success

# SPDX-License-Identifier: Apache-2.0
"""gym-aloha's transfer cube: its reward, its initial distribution, and the scripted operator."""

import importlib.util

import mujoco
import numpy as np
import pytest
import yaml

from dit_policy_ros.core.share import share_directory
from dit_policy_ros.sim.aloha import INSTRUCTION, OPEN, ScriptedTransfer, TransferCube, initial_cube
from dit_policy_ros.sim.scene import READY, load_task

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gym_aloha") is None, reason="gym-aloha is not installed: make setup"
)


@pytest.fixture(scope="module")
def model():
    return READY["aloha"]().compile()


def begin(model, seed: int):
    data, task = mujoco.MjData(model), TransferCube()
    mujoco.mj_resetDataKeyframe(model, data, 0)
    task.reset(model, data, np.random.default_rng(seed))
    mujoco.mj_forward(model, data)
    return data, task


def play(model, data, task, plan) -> list[int]:
    """The rewards of a plan (T, 14), one after each step of 20 ms."""
    rewards = []
    for row in plan:
        data.ctrl[:] = [*row[:7], -row[6], *row[7:], -row[13]]
        mujoco.mj_step(model, data, 10)
        rewards.append(task.reward(model, data))
    return rewards


def test_cubes_begin_where_gym_aloha_puts_them(model):
    """sample_box_pose: x 0 to 0.2, y 0.4 to 0.6, z 0.05."""
    places = np.array([initial_cube(np.random.default_rng(seed)) for seed in range(400)])
    assert (places[:, 2] == 0.05).all()
    np.testing.assert_allclose(places.min(axis=0)[:2], [0.0, 0.4], atol=0.003)
    np.testing.assert_allclose(places.max(axis=0)[:2], [0.2, 0.6], atol=0.003)
    data, _ = begin(model, 3)
    np.testing.assert_array_equal(data.joint("red_box_joint").qpos[:3], places[3])
    np.testing.assert_array_equal(data.joint("red_box_joint").qpos[3:], [1, 0, 0, 0])


def test_a_scripted_transfer_earns_every_reward_in_order(model):
    data, task = begin(model, 0)
    plan = ScriptedTransfer(model).plan(data.joint("red_box_joint").qpos[:3].copy(), np.random.default_rng(0))
    rewards = play(model, data, task, plan)
    assert rewards[0] == 0 and rewards[-1] == 4 and task.success(model, data)
    first = [next(step for step, reward in enumerate(rewards) if reward >= level) for level in (1, 2, 3, 4)]
    assert first == sorted(first) and 100 < first[0] < first[3] < 300
    assert max(rewards[: first[2]]) == 2, "first the right gripper alone lifts it"


def test_a_cube_that_the_left_gripper_touches_on_the_table_is_worth_3(model):
    data, task = begin(model, 0)
    assert task.reward(model, data) == 0
    plan = ScriptedTransfer(model).plan(data.joint("red_box_joint").qpos[:3].copy(), np.random.default_rng(0))
    play(model, data, task, plan)
    held = data.joint("red_box_joint").qpos[:3].copy()
    table = model.geom("table").id
    before = model.geom_pos[table].copy()
    try:
        model.geom_pos[table] = before + np.array([0.0, 0.0, held[2] - 0.025])
        mujoco.mj_forward(model, data)
        assert task.reward(model, data) == 3
    finally:
        model.geom_pos[table] = before


@pytest.mark.parametrize("seed", [1, 2])
def test_the_operator_obeys_the_contracts_limits_and_varies(model, seed):
    contract = yaml.safe_load((share_directory() / "config" / "aloha_transfer_cube.yaml").read_text())
    parameters = contract["/**"]["ros__parameters"]
    limits = [parameters["limits"][joint] for joint in parameters["joints"]]
    cube = initial_cube(np.random.default_rng(seed))
    operator = ScriptedTransfer(model, parameters["fps"])
    plan, other = (operator.plan(cube, np.random.default_rng(each)) for each in (0, 1))
    low, high = (np.array([each[name] for each in limits]) for name in ("position_min", "position_max"))
    assert (plan >= low - 1e-9).all() and (plan <= high + 1e-9).all()
    speed = np.abs(np.diff(plan, axis=0)).max(axis=0) * parameters["fps"]
    assert (speed <= [each["velocity"] for each in limits]).all(), speed
    assert np.abs(plan - other).max() > 0.02
    np.testing.assert_array_equal(operator.plan(cube, np.random.default_rng(0)), plan)


def test_a_cube_out_of_reach_is_refused(model):
    with pytest.raises(ValueError, match="the right arm misses"):
        ScriptedTransfer(model).plan(np.array([-0.9, 0.5, 0.05]), np.random.default_rng(0))


def test_the_simulator_finds_the_task_by_its_name():
    task = load_task("dit_policy_ros.sim.aloha:TransferCube")
    assert task.instruction == INSTRUCTION and OPEN > 0

# SPDX-License-Identifier: Apache-2.0
"""Random scenes, success tests and the referee."""

import numpy as np
import pytest

from dit_policy_ros.core.errors import SimulationError, TaskError
from dit_policy_ros.sim.operator._demonstrate import Settings, run_episode
from dit_policy_ros.sim.operator._expert import Expert
from dit_policy_ros.sim.robot import HOME, ArmKinematics, BimanualSim, sample_cubes
from dit_policy_ros.sim.robot._cubes import MIN_SPACING, WORKSPACE
from dit_policy_ros.sim.stills._scenes import sample_scenes
from dit_policy_ros.sim.tasks import Referee, Touch, demo_tasks, find_task, is_touching, touch_distance
from dit_policy_ros.sim.tasks._touch import touch_tasks


def spacing(points: np.ndarray) -> float:
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1) + 10.0 * np.eye(len(points))
    return float(gaps.min())


def test_cubes_keep_apart_and_within_the_workspace():
    for seed in range(200):
        cubes = sample_cubes(np.random.default_rng(seed))
        assert np.abs(cubes[:, :2]).max() <= WORKSPACE
        assert spacing(cubes[:, :2]) >= MIN_SPACING


def test_cubes_keep_clear_of_given_points():
    keep_out = np.array([[0.0, 0.0], [0.1, 0.1]])
    for seed in range(50):
        cubes = sample_cubes(np.random.default_rng(seed), keep_out)
        assert spacing(np.concatenate([cubes[:, :2], keep_out])) >= MIN_SPACING


def test_an_overfull_table_is_an_error():
    grid = np.stack(np.meshgrid(*[np.linspace(-0.15, 0.15, 9)] * 2), axis=-1).reshape(-1, 2)
    with pytest.raises(SimulationError):
        sample_cubes(np.random.default_rng(0), grid)


@pytest.mark.parametrize("side", ["left", "right"])
def test_each_arm_reaches_the_whole_workspace_within_its_limits(side):
    arm, sim = ArmKinematics(side), BimanualSim()
    first = 0 if side == "left" else 7
    for x in (-WORKSPACE, 0.0, WORKSPACE):
        for y in (-WORKSPACE, 0.0, WORKSPACE):
            for z in (0.02, 0.12):
                target = np.array([x, y, z])
                joints = arm.solve(HOME[first : first + 6], target, iterations=60)
                np.testing.assert_allclose(arm.forward(joints), target, atol=5e-4)
                assert (joints > sim.lower[first : first + 6] + 0.01).all()
                assert (joints < sim.upper[first : first + 6] - 0.01).all()


def test_kinematics_and_simulation_agree():
    sim = BimanualSim()
    for side, first in (("left", 0), ("right", 7)):
        tool = ArmKinematics(side).forward(sim.joint_positions[first : first + 6])
        np.testing.assert_allclose(tool, sim.tcp(side), atol=1e-9)


def test_instructions_are_the_agreed_ones():
    assert {task.instruction for task in demo_tasks()} == {
        "touch the red cube with the left arm",
        "touch the red cube with the right arm",
        "touch the blue cube with the left arm",
        "touch the blue cube with the right arm",
    }
    assert len(touch_tasks()) == 6
    assert find_task("touch the green cube with the left arm") == Touch("left", "green")


def test_an_unknown_instruction_lists_the_known_ones():
    with pytest.raises(TaskError, match="touch the blue cube with the right arm"):
        find_task("juggle")


def test_success_belongs_to_the_named_arm_and_cube_alone():
    sim = BimanualSim(seed=1)
    done = Touch("right", "blue")
    rng = np.random.default_rng(0)
    expert = Expert(rng)
    expert.reset(sim)
    assert not any(is_touching(sim, task) for task in touch_tasks())
    assert all(touch_distance(sim, task) > 0.05 for task in touch_tasks())
    episode = run_episode(sim, expert, done, rng, Settings(cameras=(), interrupt=0.0))
    assert episode.success
    assert [task for task in touch_tasks() if is_touching(sim, task)] == [done]
    assert touch_distance(sim, done) == pytest.approx(0.0, abs=1e-3)
    assert all(touch_distance(sim, task) > 0.01 for task in touch_tasks() if task != done)


def test_a_robot_that_does_not_move_achieves_nothing():
    sim = BimanualSim(seed=1)
    sim.step(1000)
    assert not any(is_touching(sim, task) for task in touch_tasks())


def test_the_referee_remembers_a_touch_until_its_report():
    sim = BimanualSim(seed=1)
    referee = Referee(sim)
    cube = sim.cube_position("red")
    arm, pose = ArmKinematics("left"), HOME.copy()
    pose[:6] = arm.solve(pose[:6], cube + np.array([0.0, 0.0, 0.016]), iterations=60)
    referee.observe()
    sim.place(pose)
    sim.step(5)
    referee.observe()
    referee.observe()
    sim.place(HOME)
    referee.observe()
    verdicts = {v.task: v for v in referee.report()}
    assert [task for task, v in verdicts.items() if v.success] == [Touch("left", "red")]
    assert verdicts[Touch("left", "red")].touches == 1
    assert not any(v.success for v in referee.report())
    done = referee.done()
    assert [name for name, when in done.items() if when is not None] == [Touch("left", "red").instruction]
    assert 0.0 < done[Touch("left", "red").instruction] <= referee.scene_time
    referee.restart()
    assert set(referee.done().values()) == {None} and referee.scene_time == 0.0
    assert all(v.touches == 0 for v in referee.report())


def test_random_scenes_differ_and_tell_where_the_cubes_are():
    with BimanualSim() as sim:
        scenes = list(sample_scenes(sim, 6, seed=2))
        again = next(sample_scenes(sim, 1, seed=2))
    np.testing.assert_array_equal(again.images["top"], scenes[0].images["top"])
    assert len({scene.cubes.tobytes() for scene in scenes}) == 6
    assert any((np.abs(scene.tcps[:, 1]) < 0.15).any() for scene in scenes)  # an arm over the workspace
    for scene in scenes:
        assert scene.images["top"].shape == (240, 320, 3)
        assert scene.state.shape == (14,)

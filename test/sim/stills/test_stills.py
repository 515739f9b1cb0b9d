# SPDX-License-Identifier: Apache-2.0
"""Stills for a vision encoder: enough of them, of both kinds, and labelled with what they show."""

import numpy as np
import pytest

from dit_policy_ros.sim.robot import CUBES, HOME, SIDES, ArmKinematics, BimanualSim
from dit_policy_ros.sim.stills import (
    PICTURE_WEIGHTS,
    Stills,
    named_targets,
    picture_targets,
    pose_errors,
    random_stills,
    view_errors,
    wrists_with_more_cubes,
)
from dit_policy_ros.sim.stills._stills import pose_targets
from dit_policy_ros.sim.tasks import find_task, first_arm, suite


def some_stills(count: int = 1, **given: np.ndarray) -> Stills:
    zeros = {"cubes": (3, 3), "state": (14,), "tcps": (2, 3), "task": (), "way": (6,), "views": (2, 3, 5)}
    made = {
        name: np.zeros((count, *shape), np.int64 if name == "task" else float)
        for name, shape in zeros.items()
    }
    return Stills(images=np.zeros((count, 3, 1, 1, 3), np.uint8), **{**made, **given})


def test_half_are_random_scenes_and_half_are_from_tasks() -> None:
    with BimanualSim(1, width=64, height=48) as sim:
        stills = list(random_stills(sim, 24, 1))
        again = next(random_stills(sim, 2, 1))
    assert len(stills) == 24 and stills[0].scene.images["top"].shape == (48, 64, 3)
    assert np.array_equal(again.scene.images["top"], stills[0].scene.images["top"])
    away = [np.abs(still.scene.state - HOME).max() for still in stills[12:]]
    assert max(away) > 0.3, "an arm is on its way"


def test_the_joint_offsets_lead_to_the_cube() -> None:
    with BimanualSim(1, width=64, height=48) as sim:
        stills = list(random_stills(sim, 8, 1))
    kinematics = {side: ArmKinematics(side) for side in SIDES}
    for still in stills:
        side, scene = first_arm(still.task), still.scene
        arm = slice(0, 6) if side == "left" else slice(7, 13)
        point = kinematics[side].forward(scene.state[arm] + still.way)  # (3,) [m]
        cube = scene.cubes[CUBES.index(still.task.colour), :2]
        assert np.linalg.norm(point[:2] - cube) < 0.003, still.task
    assert len({still.task for still in stills}) > 2


def test_targets_are_positions_and_angles() -> None:
    cubes = np.array([[0.1, -0.02, 0.3], [0.0, 0.05, -0.7], [-0.1, 0.1, 0.0]])
    targets = pose_targets(cubes)
    assert targets.shape == (12,) and targets.dtype == np.float32
    np.testing.assert_allclose(targets[:6].reshape(3, 2), cubes[:, :2], atol=1e-6)
    np.testing.assert_allclose(np.arctan2(targets[6:9], targets[9:]) / 4, cubes[:, 2], atol=1e-6)
    turned = np.add(cubes, [0.0, 0.0, np.pi / 2])
    np.testing.assert_allclose(pose_targets(turned), targets, atol=1e-5, err_msg="a square looks the same")
    off = np.zeros((1, 12))
    off[0, :2] = 0.003, 0.004
    assert pose_errors(off)[0] == pytest.approx([0.005, 0.0, 0.0])


def test_named_targets_are_of_the_cube_that_a_task_names() -> None:
    cubes = np.array([[[0.1, -0.02, 0.3], [0.0, 0.05, -0.7], [-0.1, 0.1, 0.0]]])
    tcps = np.array([[[0.1, -0.02, 0.2], [0.3, 0.4, 0.1]]])
    way = np.arange(6.0)[None]
    task = np.array([suite().index(find_task("lift the green cube with the left arm"))])
    stills = some_stills(cubes=cubes, tcps=tcps, task=task, way=way)
    tasks = [
        find_task("lift the green cube with the left arm"),
        find_task("push the red cube to the left zone"),
    ]
    targets = named_targets(stills, tasks)
    assert targets.shape == (1, 2, 13) and targets.dtype == np.float32
    green, red = targets[0].astype(float)
    np.testing.assert_allclose(green[:2], [0.0, 0.05], atol=1e-6)
    assert np.arctan2(green[2], green[3]) / 4 == pytest.approx(-0.7, abs=1e-6)
    np.testing.assert_allclose(green[4:7], [0.1, -0.07, 0.2], atol=1e-6, err_msg="of the left arm")
    np.testing.assert_allclose(red[4:7], [0.2, 0.42, 0.1], atol=1e-6, err_msg="the right arm pushes there")
    np.testing.assert_allclose(green[7:], way[0])
    assert np.isnan(red[7:]).all(), "known for the still's own task alone"
    np.testing.assert_array_equal(tcps[0, 0], [0.1, -0.02, 0.2], err_msg="the stills are as they were")


def test_the_wrist_camera_with_more_cubes_in_its_picture_is_taken() -> None:
    views = np.full((4, 2, 3, 5), np.nan)
    views[0, 1, 2], views[1, 0, 0] = 0.1, 0.1
    assert wrists_with_more_cubes(some_stills(4, views=views)).tolist() == [1, 0, 0, 1], "where even, in turn"


def test_targets_of_a_picture_cover_only_what_it_shows() -> None:
    views = np.full((2, 2, 3, 5), np.nan)
    views[0, 1, 2] = 0.01, 0.02, -0.15, 0.6, 0.8
    stills = some_stills(2, views=views)
    targets = picture_targets(stills, np.array([1, 0]))
    assert targets.shape == (4, len(PICTURE_WEIGHTS)) == (4, 30)
    np.testing.assert_array_equal(targets[::2, :12], [pose_targets(cubes) for cubes in stills.cubes])
    assert np.isnan(targets[::2, 12:]).all() and np.isnan(targets[1::2, :12]).all()
    assert targets[1, 12:15].tolist() == [0, 0, 1] and targets[3, 12:15].tolist() == [0, 0, 0]
    np.testing.assert_allclose(targets[1, 25:], views[0, 1, 2], rtol=1e-6)
    assert np.isnan(targets[1, 15:25]).all() and np.isnan(targets[3, 15:]).all()
    off = np.full((1, 30), np.nan)
    off[0, 25:28] = 0.001, 0.002, 0.002
    assert view_errors(off).tolist() == pytest.approx([0.003]), "of the cubes in the picture alone"

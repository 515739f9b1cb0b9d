# SPDX-License-Identifier: Apache-2.0
"""Stills for a vision encoder: enough of them, of both kinds, and labelled with what they show."""

import numpy as np
import pytest

from dit_policy_ros.sim.kinematics import ArmKinematics
from dit_policy_ros.sim.robot import HOME, SIDES, BimanualSim
from dit_policy_ros.sim.scenes import CUBES
from dit_policy_ros.sim.stills import Stills, named_targets, pose_errors, pose_targets, scene_stills
from dit_policy_ros.sim.suite import find, first_arm, suite


def test_half_are_random_scenes_and_half_are_tasks_on_their_way() -> None:
    with BimanualSim(1, width=64, height=48) as sim:
        stills = list(scene_stills(sim, 24, 1, "top"))
        again = next(scene_stills(sim, 2, 1, "top"))
    assert len(stills) == 24 and stills[0].scene.images["top"].shape == (48, 64, 3)
    assert np.array_equal(again.scene.images["top"], stills[0].scene.images["top"])
    away = [np.abs(still.scene.state - HOME).max() for still in stills[12:]]
    assert max(away) > 0.3, "an arm is on its way"


def test_the_way_of_the_joints_leads_to_the_cube() -> None:
    with BimanualSim(1, width=64, height=48) as sim:
        stills = list(scene_stills(sim, 8, 1, "top"))
    kinematics = {side: ArmKinematics(side) for side in SIDES}
    for still in stills:
        side, scene = first_arm(still.task), still.scene
        arm = slice(0, 6) if side == "left" else slice(7, 13)
        point = kinematics[side].forward(scene.state[arm] + still.way)  # (3,) [m]
        cube = scene.cubes[CUBES.index(still.task.colour), :2]
        assert np.linalg.norm(point[:2] - cube) < 0.003, still.task
    assert len({still.task for still in stills}) > 2


def test_targets_are_places_and_turns() -> None:
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
    task = np.array([suite().index(find("lift the green cube with the left arm"))])
    stills = Stills(np.zeros((1, 1, 1, 3), np.uint8), cubes, np.zeros((1, 14)), tcps, task, way)
    tasks = [find("lift the green cube with the left arm"), find("push the red cube to the left zone")]
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

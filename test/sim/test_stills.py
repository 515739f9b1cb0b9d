# SPDX-License-Identifier: Apache-2.0
"""Stills for a vision encoder: enough of them, of both kinds, and labelled with what they show."""

import numpy as np
import pytest

from dit_policy_ros.sim.robot import HOME, BimanualSim
from dit_policy_ros.sim.stills import Stills, named_targets, pose_errors, pose_targets, scene_stills
from dit_policy_ros.sim.suite import find


def test_half_are_random_scenes_and_half_are_tasks_on_their_way() -> None:
    with BimanualSim(1, width=64, height=48) as sim:
        stills = list(scene_stills(sim, 24, 1, "top"))
        again = next(scene_stills(sim, 2, 1, "top"))
    assert len(stills) == 24 and stills[0].images["top"].shape == (48, 64, 3)
    assert np.array_equal(again.images["top"], stills[0].images["top"])
    tasks = stills[12:]
    np.testing.assert_allclose(tasks[0].state, HOME, atol=0.07)
    away = [np.abs(still.state - HOME).max() for still in tasks]
    assert max(away) > 0.3, "an arm is on its way"


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
    stills = Stills(np.zeros((1, 1, 1, 3), np.uint8), cubes, np.zeros((1, 14)), tcps)
    tasks = [find("lift the green cube with the left arm"), find("push the red cube to the left zone")]
    targets = named_targets(stills, tasks)
    assert targets.shape == (1, 2, 10) and targets.dtype == np.float32
    green, red = targets[0].astype(float)
    np.testing.assert_allclose(green[:2], [0.0, 0.05], atol=1e-6)
    assert np.arctan2(green[2], green[3]) / 4 == pytest.approx(-0.7, abs=1e-6)
    np.testing.assert_allclose(green[4:], [0.1, -0.07, 0.2, 0.3, 0.35, 0.1], atol=1e-6)
    np.testing.assert_allclose(red[4:7], [0.0, 0.0, 0.2], atol=1e-6, err_msg="it is over the red cube")
    np.testing.assert_array_equal(tcps[0, 0], [0.1, -0.02, 0.2], err_msg="the stills are as they were")

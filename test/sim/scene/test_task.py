# SPDX-License-Identifier: Apache-2.0
"""The Python entry of a task: how it is found, what it may do, and what is wrong with it."""

import numpy as np
import pytest
from contracts import SMALL_CONTRACT
from small_mjcf import write_mjcf

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.scene import SceneNames, SceneReferee, SceneRobot, load_task

TASK = '''
class Point:
    """The arm shall point to the left."""

    instruction = "point to the left"

    def reset(self, model, data, rng):
        data.joint("ball").qpos[:2] = rng.uniform(-0.1, 0.1, 2)

    def success(self, model, data):
        return data.joint("shoulder").qpos[0] > 0.9


class Needs:
    def __init__(self, colour):
        pass


class Half:
    instruction = ""
    reset = None


ready = Point()
'''


@pytest.fixture
def file(tmp_path):
    (tmp_path / "tasks.py").write_text(TASK)
    (tmp_path / "script.py").write_text("import sys\nsys.exit(2)\n")
    return f"{tmp_path}/tasks.py"


@pytest.mark.parametrize("name", ["Point", "ready"])
def test_a_task_is_a_class_or_an_object(file, name):
    assert load_task(f"{file}:{name}").instruction == "point to the left"


def test_a_task_of_a_module(file, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    assert load_task("tasks:Point").instruction == "point to the left"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("Point", "expected 'module:NAME' or 'path/file.py:NAME'"),
        ("{file}:Piont", "Did you mean 'Point'?"),
        ("{file}:Half", "lacks instruction, reset, success"),
        ("{file}:Needs", "without arguments"),
        ("/nowhere/tasks.py:Point", "there is no file"),
        ("{folder}/script.py:Point", "cannot be imported: SystemExit: 2"),
    ],
)
def test_what_is_no_task_is_refused(file, tmp_path, entry, words):
    with pytest.raises(SimulationError) as caught:
        load_task(entry.format(file=file, folder=tmp_path))
    assert words in str(caught.value)


def test_a_reset_arranges_the_objects_and_success_is_seen_once(file, tmp_path):
    task = load_task(f"{file}:Point")
    robot = SceneRobot(SMALL_CONTRACT, SceneNames(write_mjcf(tmp_path)), task=task, seed=3)
    referee = SceneReferee(robot, task)
    first = robot.data.joint("ball").qpos[:2].copy()
    assert np.abs(first).max() > 0.0
    robot.reset()
    assert not np.allclose(robot.data.joint("ball").qpos[:2], first)  # the random numbers go on
    robot.reset(seed=3)
    np.testing.assert_array_equal(robot.data.joint("ball").qpos[:2], first)

    referee.restart()
    referee.observe()
    assert referee.done() == {"point to the left": None}
    for target in (1.0, 0.0):
        robot.step_towards(np.array([target, 0.01, 0.0]), 500)
        robot.step_towards(np.array([target, 0.01, 0.0]), 500)
        referee.observe()
    assert referee.done() == {"point to the left": pytest.approx(2.0)}  # it stays done
    assert referee.scene_time == pytest.approx(4.0)
    referee.restart()
    assert referee.done() == {"point to the left": None}


def test_without_a_task_nothing_is_judged(tmp_path):
    robot = SceneRobot(SMALL_CONTRACT, SceneNames(write_mjcf(tmp_path)))
    referee = SceneReferee(robot, None)
    referee.observe()
    assert referee.done() == {}


def test_a_task_that_fails_is_named_with_its_line(file, tmp_path):
    task = load_task(f"{file}:Point")
    text = write_mjcf(tmp_path)
    robot = SceneRobot(SMALL_CONTRACT, SceneNames(text), task=task)
    task.reset = lambda model, data, rng: data.joint("bal")
    with pytest.raises(SimulationError, match=r"scene_task 'point to the left': reset\(\) failed: KeyError"):
        robot.reset()
    task.success = lambda model, data: np.array([True, False])  # of two objects, say
    with pytest.raises(SimulationError, match=r"success\(\) failed: ValueError"):
        SceneReferee(robot, task).observe()
    task.success = lambda model, data: 1 / 0
    with pytest.raises(SimulationError, match=r"success\(\) failed: ZeroDivisionError"):
        SceneReferee(robot, task).observe()

# SPDX-License-Identifier: Apache-2.0
"""A task of a scene: a Python object that arranges the objects and says when the task is done."""

from typing import Any, Protocol, runtime_checkable

import numpy as np

from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.sim.robot import SimulatedRobot
from dit_policy_ros.sim.scene._entries import called, load_entry


@runtime_checkable
class SceneTask(Protocol):
    """What a user writes for a scene: its instruction, how it begins and when it is done.

    model, data: of MuJoCo. The methods run in the physics thread, so they must be short.
    """

    instruction: str

    def reset(self, model: Any, data: Any, rng: np.random.Generator) -> None:
        """Arrange the objects of a new scene; the robot is at home already and must not be moved."""
        ...

    def success(self, model: Any, data: Any) -> bool:
        """Whether the task is done now; asked at every joint state."""
        ...


def load_task(entry: str) -> SceneTask:
    """The task that "module:NAME" or "path/file.py:NAME" means: an object, or a class without arguments.

    Raises:
        SimulationError: it cannot be found, or lacks something.
    """
    found = load_entry("scene_task", entry)
    if isinstance(found, type):
        found = called(f"scene_task {entry}, made without arguments,", found)
    missing = [name for name in ("reset", "success") if not callable(getattr(found, name, None))]
    if not (isinstance(getattr(found, "instruction", None), str) and found.instruction.strip()):
        missing.insert(0, "instruction")
    if missing:
        raise SimulationError(
            f"scene_task {entry} lacks {', '.join(missing)}. Expected an object with instruction (a text), "
            "reset(model, data, rng) and success(model, data)"
        )
    return found


class SceneReferee:
    """Judges the task of a scene; without one it only measures the time."""

    def __init__(self, robot: SimulatedRobot, task: SceneTask | None) -> None:
        self._robot, self._task = robot, task
        self.restart()

    def restart(self) -> None:
        """Start over for a new scene."""
        self._began_ns = self._robot.time_ns
        self._done: float | None = None

    @property
    def scene_time(self) -> float:
        """Time since the scene began [s]."""
        return (self._robot.time_ns - self._began_ns) * 1e-9

    def observe(self) -> None:
        """Update from the present state."""
        if self._task is None or self._done is not None:
            return
        what = f"scene_task '{self._task.instruction}': success()"
        task, robot = self._task, self._robot
        if called(what, lambda: bool(task.success(robot.model, robot.data))):
            self._done = self.scene_time

    def done(self) -> dict[str, float | None]:
        """When the task was first done [s of scene time], by its instruction; None if not yet."""
        return {} if self._task is None else {self._task.instruction: self._done}

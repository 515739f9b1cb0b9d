# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""Says whether a task of the suite was done, from the physics state alone."""

from dataclasses import dataclass

import numpy as np

from dit_policy_ros.sim.robot import CUBE_EDGE, CUBES, BimanualSim
from dit_policy_ros.sim.tasks._cube_tasks import touching
from dit_policy_ros.sim.tasks._suite import ZONE_EDGE, HandOver, Lift, Push, Task

_HELD = 0.5  # [s] that a cube must be held
_RESTED = 0.3  # [s] that a pushed cube must lie still
_CLEAR = 0.05  # [m] under a lifted cube
_NEVER_ABOVE = 0.012  # [m] under a pushed cube: it may tip, not fly
_ON_TABLE = 0.01  # [m] under a cube that may touch the table
_STILL = 0.02  # [m/s]
_OUTER_EDGE = 0.18  # [m] from the middle, where a zone ends
_MAT = 0.165  # [m], half its width


@dataclass(frozen=True, slots=True)
class Cube:
    """One cube at one instant. place: its centre (3,) [m]; speed [m/s]; touched_by: which arms' grippers."""

    place: np.ndarray
    speed: float
    touched_by: frozenset[str]

    @property
    def height(self) -> float:
        """The air under it [m]."""
        return float(self.place[2]) - CUBE_EDGE / 2

    def in_zone(self, zone: str) -> bool:
        """Whether its centre lies in the strip along the mat's left or right rim."""
        outwards = self.place[1] if zone == "left" else -self.place[1]
        return bool(ZONE_EDGE <= outwards <= _OUTER_EDGE and abs(self.place[0]) <= _MAT)


@dataclass(frozen=True, slots=True)
class Instant:
    """What tasks are judged by. cubes: by colour."""

    time_ns: int
    cubes: dict[str, Cube]


def look(sim: BimanualSim) -> Instant:
    """The present instant of a simulation."""
    contacts = touching(sim)
    cubes = {}
    for colour in CUBES:
        first = sim.model.joint(f"{colour}_cube").dofadr[0]
        cubes[colour] = Cube(
            sim.cube_position(colour),
            float(np.linalg.norm(sim.data.qvel[first : first + 3])),
            frozenset(side for side, touched in contacts if touched == colour),
        )
    return Instant(sim.time_ns, cubes)


class Judge:
    """Watches one task from its beginning; once done it stays done."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.done_ns: int | None = None  # when the task was done
        self._spoiled = False
        self._given = False  # the right arm alone held it in the air, and it did not fall since
        self._since_ns: int | None = None  # from when on the state that ends the task lasts

    @property
    def done(self) -> bool:
        """Whether the task was done."""
        return self.done_ns is not None

    def observe(self, instant: Instant) -> bool:
        """Takes in an instant, at least every 20 ms; returns whether the task is done by now."""
        if not self.done and not self._spoiled:
            seconds = self._wanted(instant.cubes[self.task.colour])
            if seconds is None:
                self._since_ns = None
            else:
                self._since_ns = instant.time_ns if self._since_ns is None else self._since_ns
                if instant.time_ns - self._since_ns >= seconds * 1e9:
                    self.done_ns = instant.time_ns
        return self.done

    def _wanted(self, cube: Cube) -> float | None:
        """For how long [s] the present state must last; None where it is not what the task wants."""
        task = self.task
        if isinstance(task, Lift):
            return _HELD if cube.height >= _CLEAR and cube.touched_by == {task.side} else None
        if isinstance(task, HandOver):
            taken = self._given or (cube.height >= _CLEAR and cube.touched_by == {"right"})
            self._given = taken and cube.height > _ON_TABLE
            return _HELD if self._given and cube.touched_by == {"left"} else None
        if isinstance(task, Push):
            self._spoiled = cube.height > _NEVER_ABOVE
            return _RESTED if cube.speed < _STILL and cube.in_zone(task.zone) else None
        return 0.0 if task.side in cube.touched_by else None

# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""Judges whether a task was done, from the physics state alone."""

from dataclasses import dataclass

import numpy as np

from dit_policy_ros.sim.robot import CUBE_EDGE, CUBES, BimanualSim
from dit_policy_ros.sim.tasks._suite import ZONE_EDGE, HandOver, Lift, Push, Task
from dit_policy_ros.sim.tasks._touch import touching

_HELD = 0.5  # [s] that a cube must be held
_RESTED = 0.3  # [s] that a pushed cube must lie still
_CLEAR = 0.05  # [m] of air under a lifted cube
_NEVER_ABOVE = 0.012  # [m] of air under a pushed cube: it may tip, but not be lifted
_ON_TABLE = 0.01  # [m] of air: below this a cube may touch the table
_STILL = 0.02  # [m/s]
_OUTER_EDGE = 0.18  # [m] from the middle: the outer edge of a zone
_MAT = 0.165  # [m], half the width of the mat


@dataclass(frozen=True, slots=True)
class Cube:
    """One cube at one instant: its centre (3,) [m], its speed [m/s], and the arms whose grippers touch it."""

    place: np.ndarray
    speed: float
    touched_by: frozenset[str]

    @property
    def height(self) -> float:
        """Height of its underside over the table [m]."""
        return float(self.place[2]) - CUBE_EDGE / 2

    def in_zone(self, zone: str) -> bool:
        """Whether its centre lies in the strip along the mat's left or right rim."""
        outwards = self.place[1] if zone == "left" else -self.place[1]
        return bool(ZONE_EDGE <= outwards <= _OUTER_EDGE and abs(self.place[0]) <= _MAT)


@dataclass(frozen=True, slots=True)
class SceneState:
    """The state that tasks are judged by; cubes by colour."""

    time_ns: int
    cubes: dict[str, Cube]


def scene_state(sim: BimanualSim) -> SceneState:
    """The present state of a simulation, as judges need it."""
    contacts = touching(sim)
    cubes = {}
    for colour in CUBES:
        first = sim.model.joint(f"{colour}_cube").dofadr[0]
        cubes[colour] = Cube(
            sim.cube_position(colour),
            float(np.linalg.norm(sim.data.qvel[first : first + 3])),
            frozenset(side for side, touched in contacts if touched == colour),
        )
    return SceneState(sim.time_ns, cubes)


class Judge:
    """Watches one task from its start. Once done, it stays done."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.done_ns: int | None = None  # when the task was done
        self._failed = False
        self._giver_held = False  # the right arm alone held the cube up, and it has not been put down since
        self._goal_since_ns: int | None = None  # since when the goal state holds without a break

    @property
    def done(self) -> bool:
        """Whether the task has been done."""
        return self.done_ns is not None

    def observe(self, state: SceneState) -> bool:
        """Update with a state, at least every 20 ms. Returns whether the task is done."""
        if not self.done and not self._failed:
            hold_time = self._hold_time(state.cubes[self.task.colour])
            if hold_time is None:
                self._goal_since_ns = None
            else:
                self._goal_since_ns = state.time_ns if self._goal_since_ns is None else self._goal_since_ns
                if state.time_ns - self._goal_since_ns >= hold_time * 1e9:
                    self.done_ns = state.time_ns
        return self.done

    def _hold_time(self, cube: Cube) -> float | None:
        """How long the present state must last [s]; None if it is not the goal state."""
        task = self.task
        if isinstance(task, Lift):
            return _HELD if cube.height >= _CLEAR and cube.touched_by == {task.side} else None
        if isinstance(task, HandOver):
            taken = self._giver_held or (cube.height >= _CLEAR and cube.touched_by == {"right"})
            self._giver_held = taken and cube.height > _ON_TABLE
            return _HELD if self._giver_held and cube.touched_by == {"left"} else None
        if isinstance(task, Push):
            self._failed = cube.height > _NEVER_ABOVE
            return _RESTED if cube.speed < _STILL and cube.in_zone(task.zone) else None
        return 0.0 if task.side in cube.touched_by else None

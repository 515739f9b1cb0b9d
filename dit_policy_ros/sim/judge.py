# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""Says whether a task of the suite was done, from the physics state alone."""

import numpy as np

from dit_policy_ros.sim.robot import SIDES, BimanualSim
from dit_policy_ros.sim.scenes import CUBE_EDGE
from dit_policy_ros.sim.suite import ZONE_EDGE, HandOver, Lift, Push, Task
from dit_policy_ros.sim.tasks import success as touches

_HELD = 0.5  # [s] that a cube must be held
_RESTED = 0.3  # [s] that a pushed cube must lie still
_CLEAR = 0.05  # [m] under a lifted cube
_NEVER_ABOVE = 0.012  # [m] under a pushed cube: it may tip, not fly
_STILL = 0.02  # [m/s]
_OUTER_EDGE = 0.18  # [m] from the middle, where a zone ends
_MAT = 0.165  # [m], half its width


class Judge:
    """Watches one task from its beginning; once done it stays done."""

    def __init__(self, sim: BimanualSim, task: Task) -> None:
        self._sim, self.task = sim, task
        self.done = False
        self._spoiled = False
        self._given = False  # the right arm alone held it in the air, and it did not fall since
        self._since_ns: int | None = None  # from when on the state that ends the task lasts

    def observe(self) -> bool:
        """Looks at this instant, at least every 20 ms; returns whether the task is done by now."""
        if not self.done and not self._spoiled:
            now_ns = self._sim.time_ns
            seconds = self._wanted()
            if seconds is None:
                self._since_ns = None
            else:
                self._since_ns = now_ns if self._since_ns is None else self._since_ns
                self.done = now_ns - self._since_ns >= seconds * 1e9
        return self.done

    def _wanted(self) -> float | None:
        """For how long [s] the present state must last; None where it is not what the task wants."""
        sim, task = self._sim, self.task
        if isinstance(task, Lift):
            up = height(sim, task.colour) >= _CLEAR
            return _HELD if up and holding(sim, task.colour) == {task.side} else None
        if isinstance(task, HandOver):
            holders, up = holding(sim, task.colour), height(sim, task.colour) > 0.01
            self._given = up and (
                self._given or (holders == {"right"} and height(sim, task.colour) >= _CLEAR)
            )
            return _HELD if self._given and holders == {"left"} else None
        if isinstance(task, Push):
            self._spoiled = height(sim, task.colour) > _NEVER_ABOVE
            still = speed(sim, task.colour) < _STILL
            return _RESTED if still and in_zone(sim, task.colour, task.zone) else None
        return 0.0 if touches(sim, task) else None


def height(sim: BimanualSim, colour: str) -> float:
    """The air under a cube's centre beyond what it has on the table [m]."""
    return float(sim.cube_position(colour)[2]) - CUBE_EDGE / 2


def speed(sim: BimanualSim, colour: str) -> float:
    """How fast a cube moves [m/s]."""
    first = sim.model.joint(f"{colour}_cube").dofadr[0]
    return float(np.linalg.norm(sim.data.qvel[first : first + 3]))


def in_zone(sim: BimanualSim, colour: str, zone: str) -> bool:
    """Whether a cube's centre lies in the strip along the mat's left or right rim."""
    x, y, _ = sim.cube_position(colour)
    outwards = y if zone == "left" else -y
    return bool(ZONE_EDGE <= outwards <= _OUTER_EDGE and abs(x) <= _MAT)


def holding(sim: BimanualSim, colour: str) -> set[str]:
    """The arms both of whose fingers touch a cube; an arm that touches it otherwise counts as well."""
    cube = sim.model.geom(f"{colour}_cube").id
    parts = {
        sim.model.geom(f"{side}_{name}").id: side
        for side in SIDES
        for name in ("finger_left", "finger_right", "palm")
    }
    found = set()
    for first, second in sim.data.contact.geom[: sim.data.ncon]:  # (ncon, 2)
        for one, other in ((int(first), int(second)), (int(second), int(first))):
            if other == cube and one in parts:
                found.add(parts[one])
    return found

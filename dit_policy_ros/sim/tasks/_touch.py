# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""Touch tasks: which arm touches which cube, measured on the physics state."""

from dataclasses import dataclass
from typing import ClassVar

import mujoco
import numpy as np

from dit_policy_ros.sim.robot import CUBES, SIDES, BimanualSim

_GRIPPER_GEOMS = ("finger_left", "finger_right", "palm")
_FAR = 2.0  # [m], beyond anything in the scene


@dataclass(frozen=True, slots=True)
class Touch:
    """Touch one cube with one arm. side: "left" or "right"; colour: of the cube."""

    side: str
    colour: str

    time_limit: ClassVar[float] = 8.0  # [s]
    success: ClassVar[str] = "a finger or the palm of that arm touches the cube"

    @property
    def instruction(self) -> str:
        """The instruction for the policy; a dataset stores it as the task."""
        return f"touch the {self.colour} cube with the {self.side} arm"


def touch_tasks() -> tuple[Touch, ...]:
    """Every touch task: each cube with each arm."""
    return tuple(Touch(side, colour) for colour in CUBES for side in SIDES)


def demo_tasks() -> tuple[Touch, ...]:
    """The touch tasks of the red and the blue cube."""
    return tuple(task for task in touch_tasks() if task.colour != "green")


def _geom_ids(sim: BimanualSim, side: str) -> list[int]:
    return [sim.model.geom(f"{side}_{name}").id for name in _GRIPPER_GEOMS]


def touch_distance(sim: BimanualSim, task: Touch) -> float:
    """Returns the gap [m] between the named arm's gripper and the named cube, 0 when they touch."""
    cube = sim.model.geom(f"{task.colour}_cube").id
    fromto = np.zeros(6)
    gaps = [
        mujoco.mj_geomDistance(sim.model, sim.data, geom, cube, _FAR, fromto)
        for geom in _geom_ids(sim, task.side)
    ]
    return max(0.0, float(min(gaps)))


def is_touching(sim: BimanualSim, task: Touch) -> bool:
    """Whether the named gripper touches the named cube now."""
    return (task.side, task.colour) in touching(sim)


def touching(sim: BimanualSim) -> set[tuple[str, str]]:
    """Returns every (side, colour) whose gripper and cube touch now."""
    sides = {geom: side for side in SIDES for geom in _geom_ids(sim, side)}
    cubes = {sim.model.geom(f"{colour}_cube").id: colour for colour in CUBES}
    pairs = set()
    for first, second in sim.data.contact.geom[: sim.data.ncon]:  # (ncon, 2)
        for one, other in ((first, second), (second, first)):
            if one in sides and other in cubes:
                pairs.add((sides[int(one)], cubes[int(other)]))
    return pairs

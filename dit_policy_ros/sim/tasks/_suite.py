# SPDX-License-Identifier: Apache-2.0
"""The task suite: one scene, and the instruction says what to do in it."""

from dataclasses import dataclass
from typing import ClassVar

from dit_policy_ros.core.errors import TaskError
from dit_policy_ros.core.problems import did_you_mean
from dit_policy_ros.sim.robot import CUBES, SIDES
from dit_policy_ros.sim.tasks._touch import Touch, touch_tasks

ZONE_EDGE = 0.125  # [m] from the middle: the strips along the mat's left and right rim begin there


@dataclass(frozen=True, slots=True)
class Lift:
    """Lift the named cube with the named arm and hold it up."""

    side: str
    colour: str

    time_limit: ClassVar[float] = 12.0  # [s]
    success: ClassVar[str] = "only that arm holds the cube, at least 5 cm over the table, for half a second"

    @property
    def instruction(self) -> str:
        """The instruction for the policy."""
        return f"lift the {self.colour} cube with the {self.side} arm"


@dataclass(frozen=True, slots=True)
class HandOver:
    """Pick up the named cube with the right arm and hand it to the left arm."""

    colour: str

    time_limit: ClassVar[float] = 25.0  # [s]
    success: ClassVar[str] = (
        "after the right arm alone held it in the air and without touching the table again, the left arm "
        "alone holds it for half a second"
    )

    @property
    def instruction(self) -> str:
        """The instruction for the policy."""
        return f"hand the {self.colour} cube from the right to the left arm"


@dataclass(frozen=True, slots=True)
class Push:
    """Push the named cube over the table into a zone: the strip along the mat's left or right rim."""

    colour: str
    zone: str

    time_limit: ClassVar[float] = 15.0  # [s]
    success: ClassVar[str] = "the cube rests on the table inside the zone, and was never lifted"

    @property
    def instruction(self) -> str:
        """The instruction for the policy."""
        return f"push the {self.colour} cube to the {self.zone} zone"


Task = Touch | Lift | HandOver | Push


def suite() -> tuple[Task, ...]:
    """Every task, family by family."""
    return (
        *touch_tasks(),
        *(Lift(side, colour) for colour in CUBES for side in SIDES),
        *(HandOver(colour) for colour in CUBES),
        *(Push(colour, zone) for colour in CUBES for zone in SIDES),
    )


def steps_within(task: Task) -> set[Task]:
    """Tasks that are steps of this one, such as touching a cube to lift it."""
    both: set[Task] = {Touch(side, task.colour) for side in SIDES}
    if isinstance(task, Lift):
        return {Touch(task.side, task.colour)}
    if isinstance(task, HandOver):
        return {*both, *(Lift(side, task.colour) for side in SIDES)}
    return both if isinstance(task, Push) else set()


def first_arm(task: Task) -> str:
    """The arm that starts a task. A cube is pushed by the arm on the side opposite to the zone."""
    if isinstance(task, HandOver):
        return "right"
    if isinstance(task, Push):
        return "right" if task.zone == "left" else "left"
    return task.side


def find_task(instruction: str) -> Task:
    """The task of an instruction; TaskError lists the known ones."""
    known = {task.instruction: task for task in suite()}
    if instruction not in known:
        listed = "\n  ".join(known)
        hint = did_you_mean(instruction, known)
        raise TaskError(f"the simulator knows no task {instruction[:200]!r}.{hint} It knows:\n  {listed}")
    return known[instruction]

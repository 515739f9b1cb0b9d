# SPDX-License-Identifier: Apache-2.0
"""Watches a running simulation and says for every task how far it is and whether it is done."""

from dataclasses import dataclass

from dit_policy_ros.sim.robot import BimanualSim
from dit_policy_ros.sim.tasks._cube_tasks import Touch, distance, tasks
from dit_policy_ros.sim.tasks._judge import Judge, look
from dit_policy_ros.sim.tasks._suite import suite


@dataclass(frozen=True, slots=True)
class Verdict:
    """distance: gap between the named gripper and the named cube [m]. success: they touched since the last
    report. touches: how often they came into contact since the scene began."""

    task: Touch
    distance: float
    success: bool
    touches: int


class Referee:
    """Remembers contacts between reports, so that a short touch is not missed, and judges the whole suite."""

    def __init__(self, sim: BimanualSim) -> None:
        self._sim = sim
        self._tasks = tasks()
        self.restart()

    def restart(self) -> None:
        """Forgets what happened: a new scene begins."""
        self._touched: set[tuple[str, str]] = set()
        self._now: set[tuple[str, str]] = set()
        self._touches = dict.fromkeys(self._tasks, 0)
        self._judges = [Judge(task) for task in suite()]
        self._began_ns = self._sim.time_ns

    @property
    def scene_time(self) -> float:
        """Since the scene began [s]."""
        return (self._sim.time_ns - self._began_ns) * 1e-9

    def done(self) -> dict[str, float | None]:
        """When each task of the suite was first done, by instruction [s of the scene]; None where not yet."""
        return {
            judge.task.instruction: None if judge.done_ns is None else (judge.done_ns - self._began_ns) * 1e-9
            for judge in self._judges
        }

    def observe(self) -> None:
        """Looks at this instant; call it often."""
        instant = look(self._sim)
        for judge in self._judges:
            judge.observe(instant)
        before = self._now
        self._now = {(side, colour) for colour, cube in instant.cubes.items() for side in cube.touched_by}
        self._touched |= self._now
        for task in self._tasks:
            pair = (task.side, task.colour)
            if pair in self._now and pair not in before:
                self._touches[task] += 1

    def report(self) -> tuple[Verdict, ...]:
        """Returns a verdict per task and begins a new period."""
        touched, self._touched = self._touched, set()
        return tuple(
            Verdict(task, distance(self._sim, task), (task.side, task.colour) in touched, self._touches[task])
            for task in self._tasks
        )

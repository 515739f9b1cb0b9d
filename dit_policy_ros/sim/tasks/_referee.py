# SPDX-License-Identifier: Apache-2.0
"""Watches a running simulation and reports the progress of every task."""

from dataclasses import dataclass

from dit_policy_ros.sim.robot import BimanualSim
from dit_policy_ros.sim.tasks._judge import Judge, scene_state
from dit_policy_ros.sim.tasks._suite import suite
from dit_policy_ros.sim.tasks._touch import Touch, touch_distance, touch_tasks


@dataclass(frozen=True, slots=True)
class TouchReport:
    """How far one touch task is.

    distance: gap between the named gripper and the named cube [m]. success: they touched since the last
    report. touches: number of contacts since the scene began.
    """

    task: Touch
    distance: float
    success: bool
    touches: int


class Referee:
    """Judges every task of the suite. It remembers contacts between reports, so no short touch is missed."""

    def __init__(self, sim: BimanualSim) -> None:
        self._sim = sim
        self._tasks = touch_tasks()
        self.restart()

    def restart(self) -> None:
        """Start over for a new scene."""
        self._touched: set[tuple[str, str]] = set()
        self._now: set[tuple[str, str]] = set()
        self._touches = dict.fromkeys(self._tasks, 0)
        self._judges = [Judge(task) for task in suite()]
        self._began_ns = self._sim.time_ns

    @property
    def scene_time(self) -> float:
        """Time since the scene began [s]."""
        return (self._sim.time_ns - self._began_ns) * 1e-9

    def done(self) -> dict[str, float | None]:
        """When each task was first done [s of scene time], by instruction; None if not yet."""
        return {
            judge.task.instruction: None if judge.done_ns is None else (judge.done_ns - self._began_ns) * 1e-9
            for judge in self._judges
        }

    def observe(self) -> None:
        """Update from the present state. Call it at least every 20 ms."""
        instant = scene_state(self._sim)
        for judge in self._judges:
            judge.observe(instant)
        before = self._now
        self._now = {(side, colour) for colour, cube in instant.cubes.items() for side in cube.touched_by}
        self._touched |= self._now
        for task in self._tasks:
            pair = (task.side, task.colour)
            if pair in self._now and pair not in before:
                self._touches[task] += 1

    def report(self) -> tuple[TouchReport, ...]:
        """Returns one report per touch task and starts the next reporting period."""
        touched, self._touched = self._touched, set()
        return tuple(
            TouchReport(
                task,
                touch_distance(self._sim, task),
                (task.side, task.colour) in touched,
                self._touches[task],
            )
            for task in self._tasks
        )

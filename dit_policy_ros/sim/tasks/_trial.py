# SPDX-License-Identifier: Apache-2.0
"""One task in lock-step with a policy or an operator. No clock is involved, so a seed fixes the outcome."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from dit_policy_ros.sim.robot import FPS, STEP_NS, BimanualSim
from dit_policy_ros.sim.tasks._judge import Judge, SceneState, scene_state
from dit_policy_ros.sim.tasks._suite import Task, steps_within

Act = Callable[[BimanualSim], np.ndarray]
"""Joint targets (14,) [rad], [m] for the next period, from the simulation's present state."""

_CHECKS_PER_PERIOD = 3  # judges look every 11 ms


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one trial ended.

    seconds: until the task was done, or the time limit. did: instructions of every task that was done.
    holds, disagreements: as counted by the policy node. jerk: root mean square over the arms [rad/s^3].
    """

    task: Task
    success: bool
    seconds: float
    did: tuple[str, ...]
    holds: int = 0
    hold_reasons: tuple[str, ...] = ()
    disagreements: int = 0
    jerk: float | None = None

    @property
    def instead(self) -> tuple[str, ...]:
        """After a failure: instructions of other tasks that were done, without steps of the asked task."""
        own = {task.instruction for task in steps_within(self.task)}
        return () if self.success else tuple(each for each in self.did if each not in own)


def move_for_period(
    sim: BimanualSim, target: np.ndarray, start_ns: int, period: int, fps: float = FPS
) -> Iterator[SceneState]:
    """Move the robot to a target (14,) [rad], [m] within one period; yields states for the judges.

    Args:
        sim: at the beginning of the period.
        target: where the joints should be at the end of the period; clipped to the limits.
        start_ns: when the first period began [ns].
        period: index of this period.
        fps: [Hz].
    """
    before, target = sim.command, np.clip(target, sim.lower, sim.upper)  # (14,)
    for part in range(1, _CHECKS_PER_PERIOD + 1):
        then_ns = start_ns + round((period + part / _CHECKS_PER_PERIOD) * 1e9 / fps)
        steps = max(1, round((then_ns - sim.time_ns) / STEP_NS))
        sim.step_towards(before + (target - before) * (part / _CHECKS_PER_PERIOD), steps)
        yield scene_state(sim)


def run_trial(
    sim: BimanualSim, task: Task, act: Act, others: Iterable[Task] = (), fps: float = FPS
) -> Outcome:
    """Act until the task is done or its time is up.

    Args:
        sim: in the scene to act in.
        task: the task to do.
        act: returns joint targets; called ``fps`` times per simulated second.
        others: other tasks to watch, to see what was done instead.
        fps: [Hz].
    """
    asked, start_ns = Judge(task), sim.time_ns
    judges = [asked, *(Judge(other) for other in others if other != task)]
    seconds = task.time_limit
    for period in range(round(task.time_limit * fps)):
        for state in move_for_period(sim, act(sim), start_ns, period, fps):
            for judge in judges:
                judge.observe(state)
        if asked.done:
            seconds = (period + 1) / fps
            break
    did = tuple(judge.task.instruction for judge in judges if judge.done)
    return Outcome(task, asked.done, seconds, did)

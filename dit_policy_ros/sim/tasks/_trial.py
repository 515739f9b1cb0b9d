# SPDX-License-Identifier: Apache-2.0
"""One task carried out in lock-step, whoever acts: no clock, so a seed is an outcome."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from dit_policy_ros.sim.robot import FPS, STEP_NS, BimanualSim
from dit_policy_ros.sim.tasks._judge import Instant, Judge, look
from dit_policy_ros.sim.tasks._suite import Task, on_the_way

Act = Callable[[BimanualSim], np.ndarray]
"""Joint targets (14,) [rad], [m] for the next period, from the simulation's present state."""

_LOOKS = 3  # of the judges in a period: every 11 ms


@dataclass(frozen=True, slots=True)
class Outcome:
    """seconds: until the task was done, or the time limit. did: instructions of all that was done by then.
    holds, disagreements: what the policy node counted. jerk: root mean square over the arms [rad/s^3]."""

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
        """Instructions of other tasks that were done while the asked one was not, but for its own steps."""
        own = {task.instruction for task in on_the_way(self.task)}
        return () if self.success else tuple(each for each in self.did if each not in own)


def through_period(
    sim: BimanualSim, target: np.ndarray, start_ns: int, period: int, fps: float = FPS
) -> Iterator[Instant]:
    """Lead the robot to a target (14,) [rad], [m] over one period; yields what judges see on the way.

    Args:
        sim: at the beginning of the period.
        target: within the limits by the end of it.
        start_ns: when the first period began [ns].
        period: number of this one.
        fps: [Hz].
    """
    before, target = sim.command, np.clip(target, sim.lower, sim.upper)  # (14,)
    for part in range(1, _LOOKS + 1):
        then_ns = start_ns + round((period + part / _LOOKS) * 1e9 / fps)
        steps = max(1, round((then_ns - sim.time_ns) / STEP_NS))
        sim.step_towards(before + (target - before) * (part / _LOOKS), steps)
        yield look(sim)


def carry_out(
    sim: BimanualSim, task: Task, act: Act, others: Iterable[Task] = (), fps: float = FPS
) -> Outcome:
    """Let somebody act until the task is done or its time is up.

    Args:
        sim: in the scene to act in.
        task: what is asked for.
        act: called ``fps`` times a second of simulated time.
        others: what else is watched for, to see what was done instead.
        fps: [Hz].
    """
    asked, start_ns = Judge(task), sim.time_ns
    judges = [asked, *(Judge(other) for other in others if other != task)]
    seconds = task.time_limit
    for period in range(round(task.time_limit * fps)):
        for instant in through_period(sim, act(sim), start_ns, period, fps):
            for judge in judges:
                judge.observe(instant)
        if asked.done:
            seconds = (period + 1) / fps
            break
    did = tuple(judge.task.instruction for judge in judges if judge.done)
    return Outcome(task, asked.done, seconds, did)

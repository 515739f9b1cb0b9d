# SPDX-License-Identifier: Apache-2.0
"""One task carried out in lock-step, whoever acts; a judge looks on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dit_policy_ros.sim.judge import Judge
from dit_policy_ros.sim.robot import STEP_NS, BimanualSim
from dit_policy_ros.sim.suite import Task
from dit_policy_ros.sim.tracking import FPS

Act = Callable[[BimanualSim], np.ndarray]
"""Joint targets (14,) [rad], [m] for the next 1/30 s, from the simulation's present state."""

_LOOKS = 3  # of the judge in a period: every 11 ms


@dataclass(frozen=True, slots=True)
class Outcome:
    """seconds: until the task was done, or the time limit."""

    task: Task
    success: bool
    seconds: float


def carry_out(sim: BimanualSim, task: Task, act: Act, watch: Callable[[], None] = lambda: None) -> Outcome:
    """Let somebody act until the task is done or its time is up.

    Args:
        sim: in the scene to act in.
        task: what is judged.
        act: called 30 times a second of simulated time.
        watch: called as often as the judge looks.
    """
    judge, start_ns = Judge(sim, task), sim.time_ns
    periods = round(task.time_limit * FPS)
    for period in range(periods):
        before, target = sim.command, np.clip(act(sim), sim.lower, sim.upper)  # (14,)
        for look in range(1, _LOOKS + 1):
            then_ns = start_ns + round((period + look / _LOOKS) * 1e9 / FPS)
            steps = max(1, round((then_ns - sim.time_ns) / STEP_NS))
            sim.step_towards(before + (target - before) * (look / _LOOKS), steps)
            watch()
            if judge.observe():
                return Outcome(task, True, (period + look / _LOOKS) / FPS)
    return Outcome(task, False, task.time_limit)

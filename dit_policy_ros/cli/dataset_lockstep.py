# SPDX-License-Identifier: Apache-2.0
"""Demonstrations in lock-step: physics, operator, cameras and the writer take turns, without ROS."""

import argparse
import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.data.journal import EpisodeLabel
from dit_policy_ros.data.writer import DatasetWriter
from dit_policy_ros.sim.disturbance import Disturbance
from dit_policy_ros.sim.judge import Judge, look
from dit_policy_ros.sim.operator import Operator
from dit_policy_ros.sim.robot import JOINTS, STEP_NS, BimanualSim
from dit_policy_ros.sim.suite import Task
from dit_policy_ros.sim.tracking import FPS

HEIGHT, WIDTH = 240, 320  # [pixel]
_ROBOT_TYPE = "bimanual_sim"
_LOOKS = 3  # of the judge in a period
_LINGER = 0.7  # [s] after success: how to stay at the goal
_ARM_JITTER = 0.08  # [rad] of the start
_MOST_FAILURES = 10  # in a row


def lockstep_demonstrations(
    options: argparse.Namespace, order: Sequence[Task]
) -> Iterator[tuple[Task, int, int]]:
    """Record one demonstration per entry of ``order``: yields its task, frames, and failures before it."""
    cameras = [Camera(name, f"{name}/image_raw", HEIGHT, WIDTH, max_age=0.5) for name in options.cameras]
    rng = np.random.default_rng(options.seed)
    writer = DatasetWriter(options.output, FPS, cameras, JOINTS, _ROBOT_TYPE)
    with contextlib.ExitStack() as stack:
        stack.callback(writer.finalize)
        sim = stack.enter_context(BimanualSim(options.seed, width=WIDTH, height=HEIGHT))
        operator, seed = Operator(rng), options.seed
        for task in order:
            failures = 0
            while not (frames := _attempt(writer, sim, operator, task, seed, rng, options)):
                failures, seed = failures + 1, seed + 1
                if failures == _MOST_FAILURES:
                    raise SimulationError(
                        f"the operator failed {failures} times in a row: {task.instruction}"
                    )
            seed += 1
            yield task, frames, failures


def _attempt(
    writer: DatasetWriter,
    sim: BimanualSim,
    operator: Operator,
    task: Task,
    seed: int,
    rng: np.random.Generator,
    options: argparse.Namespace,
) -> int:
    """One episode; its frames, or 0 where the task was not done in time and nothing was kept."""
    sim.reset(seed=seed, arm_jitter=_ARM_JITTER)
    operator.begin(sim, task)
    judge, error = Judge(task), Disturbance(rng, options.disturbance)
    action = operator.target  # (14,), in force at the instant of the images
    cameras, start_ns = tuple(options.cameras), sim.time_ns
    end = round(task.time_limit * FPS)  # [frames]
    frames = 0
    while frames < end:
        writer.add_frame(sim.render(*cameras), sim.joint_positions, action, task.instruction)
        frames += 1
        before, action = sim.command, operator.act(sim)
        executed = np.clip(action + error.step(), sim.lower, sim.upper)  # (14,)
        for part in range(1, _LOOKS + 1):
            then_ns = start_ns + round((frames - 1 + part / _LOOKS) * 1e9 / FPS)
            steps = max(1, round((then_ns - sim.time_ns) / STEP_NS))
            sim.step_towards(before + (executed - before) * (part / _LOOKS), steps)
            was_done = judge.done
            judge.observe(look(sim))
            if judge.done and not was_done:
                end = min(end, frames + round(_LINGER * FPS))
    if not judge.done:
        writer.discard_episode()
        return 0
    writer.save_episode(EpisodeLabel(success=True))
    return frames

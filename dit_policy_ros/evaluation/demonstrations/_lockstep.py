# SPDX-License-Identifier: Apache-2.0
"""Demonstrations in lock-step: physics, operator, cameras and the writer take turns, without ROS."""

import argparse
import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.recording import DatasetWriter, EpisodeOutcome
from dit_policy_ros.evaluation.demonstrations._options import LINGER, Demonstration, until_kept
from dit_policy_ros.sim.operator import Disturbance, Operator, StartPoses
from dit_policy_ros.sim.robot import FPS, JOINTS, BimanualSim, Variation
from dit_policy_ros.sim.tasks import Judge, Task, first_arm, move_for_period

HEIGHT, WIDTH = 240, 320  # [pixel]
_ROBOT_TYPE = "bimanual_sim"
_ARM_JITTER = 0.08  # [rad] of the start


def lockstep_demonstrations(options: argparse.Namespace, order: Sequence[Task]) -> Iterator[Demonstration]:
    """Record one demonstration per entry of ``order``; SimulationError where the operator keeps failing."""
    cameras = [Camera(name, f"{name}/image_raw", HEIGHT, WIDTH, max_age=0.5) for name in options.cameras]
    rng = np.random.default_rng(options.seed)
    spec = DatasetSpec(FPS, tuple(cameras), tuple(JOINTS), _ROBOT_TYPE)
    writer = DatasetWriter(options.output, spec)
    with contextlib.ExitStack() as stack:
        stack.callback(writer.finalize)
        looks = Variation(options.camera_jitter, options.lighting)
        sim = stack.enter_context(BimanualSim(options.seed, width=WIDTH, height=HEIGHT, variation=looks))
        operator, starts = Operator(rng), StartPoses(rng) if options.start_anywhere else None

        def attempt(task: Task, seed: int, discarded: int) -> Demonstration | None:
            sim.reset(seed=seed, arm_jitter=_ARM_JITTER)
            if starts is not None:
                where = rng.random()  # at home, anywhere, near the cube: a third each
                if where < 1 / 3:
                    starts.anywhere(sim, first_arm(task))
                elif where < 2 / 3:
                    starts.near(sim, task)
            operator.begin(sim, task)
            error = Disturbance(rng, options.disturbance, knock_rate=options.knocks)
            frames = _record(writer, sim, operator, task, error, options.cameras, options.picture_every)
            return Demonstration(task, frames, FPS, (), discarded) if frames else None

        yield from until_kept(order, options.seed, attempt)


def _record(
    writer: DatasetWriter,
    sim: BimanualSim,
    operator: Operator,
    task: Task,
    error: Disturbance,
    cameras: Sequence[str],
    every: int,
) -> int:
    """One episode; its frames, or 0 where the task was not done in time and nothing was kept.

    Cameras take a picture every so many frames. In between it is repeated and marked as such.
    """
    judge, start_ns = Judge(task), sim.time_ns
    action = operator.target  # (14,), in force at the instant of the images
    frames, end = 0, round(task.time_limit * FPS)
    images = dict[str, np.ndarray]()
    while frames < end:
        is_new = frames % every == 0
        images = sim.render(*cameras) if is_new else images
        repeated = () if is_new else cameras
        writer.add_frame(images, sim.joint_positions, action, task.instruction, repeated=repeated)
        action, was_done = operator.act(sim), judge.done
        for instant in move_for_period(sim, action + error.step(), start_ns, frames):
            judge.observe(instant)
        frames += 1
        if judge.done and not was_done:
            end = min(end, frames + round(LINGER * FPS))
    if not judge.done:
        writer.discard_episode()
        return 0
    writer.save_episode(EpisodeOutcome(success=True))
    return frames

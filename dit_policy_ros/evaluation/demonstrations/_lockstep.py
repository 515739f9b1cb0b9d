# SPDX-License-Identifier: Apache-2.0
"""Demonstrations in lock-step: physics, operator, cameras and the dataset writer take turns, without ROS."""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.recording import DatasetWriter, EpisodeOutcome
from dit_policy_ros.evaluation.demonstrations._demonstration import (
    LINGER,
    ROBOT_TYPE,
    Demonstration,
    DemonstrationSettings,
    repeat_until_kept,
)
from dit_policy_ros.sim.operator import Disturbance, Operator, StartPoses
from dit_policy_ros.sim.robot import FPS, JOINTS, BimanualSim
from dit_policy_ros.sim.tasks import Judge, Task, first_arm, move_for_period
from dit_policy_ros.sim.vectors import find_vectors, measure_vectors

HEIGHT, WIDTH = 240, 320  # [pixel]
_ARM_JITTER = 0.08  # [rad] of the initial pose


def lockstep_demonstrations(
    settings: DemonstrationSettings, order: Sequence[Task]
) -> Iterator[Demonstration]:
    """Record one demonstration per entry of ``order``.

    Raises:
        SimulationError: the operator failed too often in a row, or a vector is unknown.
        DatasetError: the dataset cannot be written.
    """
    cameras = tuple(
        Camera(name, f"{name}/image_raw", HEIGHT, WIDTH, max_age=0.5) for name in settings.cameras
    )
    spec = DatasetSpec(FPS, cameras, JOINTS, ROBOT_TYPE, find_vectors(settings.vectors))
    writer = DatasetWriter(settings.output, spec)
    with contextlib.ExitStack() as stack:
        stack.callback(writer.finalize)
        sim = stack.enter_context(
            BimanualSim(settings.seed, width=WIDTH, height=HEIGHT, variation=settings.variation)
        )
        recording = _LockstepRecording(settings, sim, writer)
        yield from repeat_until_kept(order, settings.seed, recording.attempt)


class _LockstepRecording:
    """Records attempts; one random generator drives operator, disturbance and starts of all of them."""

    def __init__(self, settings: DemonstrationSettings, sim: BimanualSim, writer: DatasetWriter) -> None:
        self._settings, self._sim, self._writer = settings, sim, writer
        self._rng = np.random.default_rng(settings.seed)
        self._operator = Operator(self._rng, settings.aim_error)
        self._starts = StartPoses(self._rng) if settings.start_anywhere else None

    def attempt(self, task: Task, seed: int, discarded: int) -> Demonstration | str:
        """One attempt in the scene of a seed; an empty text if the task was not done in time."""
        self._sim.reset(seed=seed, arm_jitter=_ARM_JITTER)
        if self._starts is not None:
            where = self._rng.random()  # at home, anywhere, near the cube: a third each
            if where < 1 / 3:
                self._starts.anywhere(self._sim, first_arm(task))
            elif where < 2 / 3:
                self._starts.near(self._sim, task)
        self._operator.begin(self._sim, task)
        frames = self._record_episode(task)
        return Demonstration(task, frames, FPS, (), discarded) if frames else ""

    def _record_episode(self, task: Task) -> int:
        """Write one episode; returns its number of frames, or 0 if it was discarded."""
        settings, sim, writer = self._settings, self._sim, self._writer
        error = Disturbance(self._rng, settings.disturbance, knock_rate=settings.knocks)
        judge, start_ns = Judge(task), sim.time_ns
        action = self._operator.target  # (14,), the target at the instant of the images
        frames, end = 0, round(task.time_limit * FPS)
        images = dict[str, np.ndarray]()
        while frames < end:
            is_new = frames % settings.picture_every == 0
            images = sim.render(*settings.cameras) if is_new else images
            repeated = () if is_new else settings.cameras
            writer.add_frame(
                images,
                sim.joint_positions,
                action,
                task.instruction,
                repeated=repeated,
                vectors=measure_vectors(sim, settings.vectors),
            )
            action, was_done = self._operator.act(sim), judge.done
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

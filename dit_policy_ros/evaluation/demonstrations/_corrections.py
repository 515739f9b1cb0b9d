# SPDX-License-Identifier: Apache-2.0
"""Runs of a policy in lock-step, in which the scripted operator takes over when the policy fails.

Whole attempts are recorded, as the recorder does while the policy node runs: who drove at each frame, and
whether the attempt succeeded in the end.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.recording import DatasetWriter, EpisodeOutcome
from dit_policy_ros.evaluation.defaults import PATIENCE, STEPS_TO_EXECUTE
from dit_policy_ros.evaluation.demonstrations._demonstration import (
    LINGER,
    ROBOT_TYPE,
    DemonstrationSettings,
)
from dit_policy_ros.evaluation.episodes import (
    EvaluationSettings,
    PolicyActor,
    image_size,
    load_policy_of,
)
from dit_policy_ros.sim.operator import Operator
from dit_policy_ros.sim.robot import FPS, JOINTS, BimanualSim
from dit_policy_ros.sim.tasks import Judge, Task, move_for_period
from dit_policy_ros.sim.vectors import find_vectors, measure_vectors

_PATIENCE_SPREAD = 0.4  # share of it by which he differs from attempt to attempt
_ARM_JITTER = 0.05  # [rad] of the initial pose, as in an evaluation
_POLICY, _HUMAN = "policy", "human"


@dataclass(frozen=True, slots=True)
class CorrectedRun:
    """One recorded attempt of the policy.

    Attributes:
        task: what it was told.
        success: whether the task was done, by whomever.
        frames: its length.
        human_frames: of those, the ones in which the operator drove.
    """

    task: Task
    success: bool
    frames: int
    human_frames: int


def lockstep_corrections(
    settings: DemonstrationSettings, checkpoint: Path, order: Sequence[Task], patience: float = PATIENCE
) -> Iterator[CorrectedRun]:
    """Record one attempt per entry of ``order``, each in the scene of the next seed.

    Args:
        settings: output, seed, variation and vectors count. The cameras are the policy's.
        checkpoint: of the policy that is corrected.
        order: the tasks.
        patience: how long the operator waits for the policy, on average [s].

    Raises:
        CheckpointError: the policy cannot be loaded, or is for another robot.
        DatasetError: the dataset cannot be written.
    """
    from dit_policy_ros.policy.checkpoint import checkpoint_hash  # torch takes seconds to import

    policy = load_policy_of(EvaluationSettings(settings.output, checkpoint=checkpoint))
    height, width = image_size(policy)
    cameras = tuple(
        Camera(name, f"{name}/image_raw", height, width, max_age=0.5) for name in policy.image_shapes
    )
    vectors = tuple(dict.fromkeys((*settings.vectors, *(vector.name for vector in policy.vectors))))
    spec = DatasetSpec(FPS, cameras, JOINTS, ROBOT_TYPE, find_vectors(vectors), control=True)
    writer = DatasetWriter(settings.output, spec)
    with contextlib.ExitStack() as stack:
        stack.callback(writer.finalize)
        sim = stack.enter_context(
            BimanualSim(settings.seed, width=width, height=height, variation=settings.variation)
        )
        recording = _Corrections(policy, checkpoint_hash(checkpoint), sim, writer, vectors)
        for seed, task in enumerate(order, settings.seed):
            yield recording.attempt(task, seed, patience)


class _Corrections:
    """Records attempts of a policy."""

    def __init__(
        self, policy: Policy, name: str, sim: BimanualSim, writer: DatasetWriter, vectors: tuple[str, ...]
    ) -> None:
        self._policy, self._name = policy, name
        self._sim, self._writer, self._vectors = sim, writer, vectors

    def attempt(self, task: Task, seed: int, patience: float) -> CorrectedRun:
        """One attempt in the scene of a seed, which alone decides what happens."""
        sim, rng = self._sim, np.random.default_rng(seed)
        sim.reset(seed=seed, arm_jitter=_ARM_JITTER)
        self._policy.seed_sampling(seed)
        actor = PolicyActor(self._policy, task.instruction, STEPS_TO_EXECUTE)
        waits = round(patience * (1.0 + _PATIENCE_SPREAD * rng.uniform(-1.0, 1.0)) * FPS)  # frames
        operator: Operator | None = None
        judge, start_ns = Judge(task), sim.time_ns
        action = sim.command  # (14,), the target at the instant of the images
        frames, human_frames, end = 0, 0, waits + round(task.time_limit * FPS)
        while frames < end:
            actor.history.observe(sim)
            if operator is None and frames >= waits and not judge.done:
                operator = Operator(rng)
                operator.begin(sim, task)
            self._write(actor, action, task, _POLICY if operator is None else _HUMAN)
            human_frames += operator is not None
            action = actor.act(sim) if operator is None else operator.act(sim)
            was_done = judge.done
            for instant in move_for_period(sim, action, start_ns, frames):
                judge.observe(instant)
            frames += 1
            if judge.done and not was_done:
                end = min(end, frames + round(LINGER * FPS))
        figures = {"policies": [self._name], "human_frames": human_frames}
        self._writer.save_episode(EpisodeOutcome(success=judge.done, figures=figures))
        return CorrectedRun(task, judge.done, frames, human_frames)

    def _write(self, actor: PolicyActor, action: NDArray[np.float64], task: Task, controller: str) -> None:
        self._writer.add_frame(
            actor.history.newest_images,
            self._sim.joint_positions,
            action,
            task.instruction,
            vectors=measure_vectors(self._sim, self._vectors),
            controller=controller,
        )

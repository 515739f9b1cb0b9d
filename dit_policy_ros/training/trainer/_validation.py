# SPDX-License-Identifier: Apache-2.0
"""Scores a policy on held-out demonstrations, task by task.

Shapes: M frames of all episodes, B batch, N cameras, F features of an image, A action entries.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.batches import BatchMaker, KeptFeatures
from dit_policy_ros.training.unified import UnifiedBatchMaker

_FRAMES_PER_TASK = 64
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Score:
    """The score of one task."""

    task: str
    frames: int
    loss: float
    action_error: float  # mean absolute error of the executed part of the chunk [rad or m]


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of all tasks that have held-out episodes."""

    tasks: tuple[Score, ...]

    @property
    def loss(self) -> float:
        """Mean over the tasks."""
        return float(np.mean([score.loss for score in self.tasks]))

    @property
    def action_error(self) -> float:
        """Mean over the tasks [rad or m]."""
        return float(np.mean([score.action_error for score in self.tasks]))


def score_policy(
    policy: DiTPolicy,
    batches: BatchMaker | UnifiedBatchMaker,
    held_out: NDArray[np.bool_],
    features: KeptFeatures | None = None,
) -> Scores:
    """Score a policy. Its mode and the global random generators do not change.

    The noise is the same each time, so two scores of one run differ only by the weights.

    Args:
        policy: on any device.
        batches: makes batches of the demonstrations.
        held_out: (M,) the frames to score; at most 64 of each task are used, evenly spread.
        features: of a frozen vision encoder; None reads the images.
    """
    device = next(policy.parameters()).device
    was_training = policy.training
    policy.eval()
    scores = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(0)
        for number, task in enumerate(batches.data.tasks):
            frames = np.flatnonzero(held_out & (batches.data.task_index == number))
            if len(frames):
                chosen = np.unique(np.linspace(0, len(frames) - 1, _FRAMES_PER_TASK).astype(int))
                loss, action_error = _errors(policy, batches, frames[chosen], features)
                scores.append(Score(task, len(chosen), loss, action_error))
    policy.train(was_training)
    return Scores(tuple(scores))


def _errors(
    policy: DiTPolicy,
    batches: BatchMaker | UnifiedBatchMaker,
    frames: NDArray[np.int64],
    features: KeptFeatures | None,
) -> tuple[float, float]:
    """Mean loss and mean action error [rad or m] at ``frames``."""
    device = next(policy.parameters()).device
    first, count = policy.config.n_obs_steps - 1, policy.config.n_action_steps
    loss = error = steps = 0.0
    for part in np.array_split(frames, -(-len(frames) // _BATCH)):
        batch = batches.collate(batches.read(part, features).to(device))
        loss += float(policy(batch)) * len(part)
        predicted = policy.predict(batch)[:, first : first + count]  # (B, n_action_steps, A)
        demonstrated = batch.action[:, first : first + count]  # (B, n_action_steps, A)
        assert batch.action_is_pad is not None
        is_valid = ~batch.action_is_pad[:, first : first + count]  # (B, n_action_steps)
        distance = batches.action_errors(predicted, demonstrated, part)  # (B, n_action_steps)
        error += float((distance * is_valid).sum())
        steps += float(is_valid.sum())
    return loss / len(frames), error / steps

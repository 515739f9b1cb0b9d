# SPDX-License-Identifier: Apache-2.0
"""How good a policy is on demonstrations that it was not trained on, task by task.

Shapes: M frames of all episodes, B batch, T horizon, A action entries.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.core.lerobot_keys import ACTION_KEY
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.batches import BatchMaker

_FRAMES_PER_TASK = 64
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Score:
    """Of one task. action_error: mean distance of the chunk's entries from the demonstrated [rad or m]."""

    task: str
    frames: int
    loss: float
    action_error: float


@dataclass(frozen=True, slots=True)
class Scores:
    """Of all tasks that have held-out episodes."""

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
    policy: DiTPolicy, batches: BatchMaker, held_out: NDArray[np.bool_], features: Tensor | None = None
) -> Scores:
    """Score a policy; its mode and the global random generators are left as they were.

    The noise is the same each time, so that scores of two moments differ by the weights alone.

    Args:
        policy: on any device.
        batches: cuts the demonstrations.
        held_out: (M,) which frames to use; of each task at most 64, evenly spread, are.
        features: (M, N * F) of a frozen vision encoder; None reads the images.
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
                even = np.unique(np.linspace(0, len(frames) - 1, _FRAMES_PER_TASK).astype(int))
                scores.append(_score(policy, batches, frames[even], task, device, features))
    policy.train(was_training)
    return Scores(tuple(scores))


def _score(
    policy: DiTPolicy,
    batches: BatchMaker,
    frames: NDArray[np.int64],
    task: str,
    device: torch.device,
    features: Tensor | None,
) -> Score:
    scale = batches.scales[ACTION_KEY].to(device)
    first, count = policy.config.n_obs_steps - 1, policy.config.n_action_steps
    loss = error = steps = 0.0
    for part in np.array_split(frames, -(-len(frames) // _BATCH)):
        batch = batches.finish(batches.cut(part, features).to(device))
        loss += float(policy(batch)) * len(part)
        predicted = scale.unnormalize(policy.sample(policy.encode(batch)))[:, first : first + count]
        wanted = scale.unnormalize(batch.action)[:, first : first + count]  # (B, n_action_steps, A)
        assert batch.action_is_pad is not None
        valid = ~batch.action_is_pad[:, first : first + count]  # (B, n_action_steps)
        distance = (predicted - wanted).abs().mean(dim=-1)
        error += float((distance * valid).sum())
        steps += float(valid.sum())
    return Score(task, len(frames), loss / len(frames), error / steps)

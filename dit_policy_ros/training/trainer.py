# SPDX-License-Identifier: Apache-2.0
"""The training loop: batches in, averaged weights out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.optimization import AveragedWeights, cosine_with_warmup, make_optimizer


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known after a step. loss: of this step's batch; rate: the present learning rate."""

    step: int
    steps: int
    loss: float
    rate: float


class Trainer:
    """Trains one policy on one set of demonstrations."""

    def __init__(self, policy: DiTPolicy, batches: BatchMaker, config: TrainConfig) -> None:
        """Set up a run; torch's global generator is seeded.

        Args:
            policy: trained in place.
            batches: cuts the demonstrations.
            config: how to train.
        """
        torch.manual_seed(config.seed)
        self.policy, self.batches, self.config = policy, batches, config
        self.optimizer = make_optimizer(policy, config)
        self.schedule = cosine_with_warmup(self.optimizer, config.warmup_steps, config.steps)
        self.average = AveragedWeights(policy, config.ema_decay)
        self.step = 0
        self._frames = shuffled(len(batches.data.state), config.batch_size, config.seed)
        self._features: Tensor | None = None
        if config.vision_lr_multiplier == 0 and policy.config.image_features:
            self._features = batches.all_features(policy)

    def run(self, report: Callable[[Progress], None], checkpoint: Callable[[DiTPolicy, int], None]) -> None:
        """Train to the end.

        Args:
            report: called after every step.
            checkpoint: called with the averaged weights every ``checkpoint_every`` steps and at the end.

        Raises:
            TrainingError: the loss is not finite; the batch is named.
        """
        self.policy.train()
        while self.step < self.config.steps:
            loss = self.advance(next(self._frames))
            report(Progress(self.step, self.config.steps, loss, self.schedule.get_last_lr()[0]))
            if self.step % self.config.checkpoint_every == 0 or self.step == self.config.steps:
                checkpoint(self.average.network if self.config.ema_decay else self.policy, self.step)

    def advance(self, frames: NDArray[np.int64]) -> float:
        """One optimiser step on the examples at ``frames`` (B,); returns the loss."""
        loss = self.policy(self.batches.batch(frames, self._features))
        value = float(loss.detach())
        if not np.isfinite(value):
            episodes = self.batches.data.episode_index[frames]
            named = ", ".join(f"{e}:{f}" for e, f in zip(episodes, frames, strict=True))
            raise TrainingError(
                f"the loss is {value} at step {self.step + 1}; this step was not taken. Lower learning_rate, "
                f"or look at the batch's frames (episode:frame of the dataset): {named}"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.config.gradient_clip)
        self.optimizer.step()
        self.schedule.step()
        self.average.update(self.policy)
        self.step += 1
        return value


def shuffled(count: int, batch: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Endless batches of frame numbers (batch,); every frame once an epoch, in random order."""
    generator = np.random.default_rng(seed)
    left = np.empty(0, np.int64)
    while True:
        while len(left) < batch:
            left = np.concatenate((left, generator.permutation(count)))
        yield left[:batch]
        left = left[batch:]

# SPDX-License-Identifier: Apache-2.0
"""Optimiser groups, learning-rate schedule and averaged weights."""

import copy
import math

import torch
from torch import nn

from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.config import TrainConfig


def make_optimizer(policy: DiTPolicy, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW; the vision encoder is a group of its own at its share of the rate, left out at a share of 0."""
    groups = [{"params": policy.other_parameters(), "lr": config.learning_rate}]
    vision = policy.vision_parameters()
    if vision and config.vision_lr_multiplier > 0:
        groups.append({"params": vision, "lr": config.learning_rate * config.vision_lr_multiplier})
    return torch.optim.AdamW(groups, betas=(config.beta1, config.beta2), weight_decay=config.weight_decay)


def cosine_with_warmup(
    optimizer: torch.optim.Optimizer, warmup: int, steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The rate rises linearly over ``warmup`` steps and falls to 0 along half a cosine until ``steps``."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = (step - warmup) / max(1, steps - warmup)
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


class AveragedWeights:
    """A moving average of a network's weights, short at first so that early checkpoints are good too."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start from the network's present weights; ``decay`` in [0, 1)."""
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards the network's weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages, weights = list(self.network.parameters()), list(network.parameters())
        torch._foreach_lerp_(averages, weights, 1.0 - decay)

# SPDX-License-Identifier: Apache-2.0
"""Optimiser groups, learning-rate schedule and averaged weights."""

import copy
from typing import Any

import torch
from torch import nn
from transformers import get_cosine_schedule_with_warmup

from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.config import TrainConfig


def make_optimizer(policy: DiTPolicy, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW; vision encoder and observation's MLP are groups with their shares of the rate.

    With a share of 0 they are frozen: without gradients, which nobody would clear from step to step.
    """
    groups = [{"params": policy.other_parameters(), "lr": config.learning_rate}]
    for parameters, share in (
        (policy.vision_parameters(), config.vision_lr_multiplier),
        (policy.fusion_parameters(), config.observation_lr_multiplier),
    ):
        if share == 0:
            for parameter in parameters:
                parameter.requires_grad_(False)
        elif parameters:
            groups.append({"params": parameters, "lr": config.learning_rate * share})
    return torch.optim.AdamW(groups, betas=(config.beta1, config.beta2), weight_decay=config.weight_decay)


def make_schedule(
    optimizer: torch.optim.Optimizer, warmup: int, steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The rate rises linearly over ``warmup`` steps and falls to 0 along half a cosine until ``steps``."""
    return get_cosine_schedule_with_warmup(optimizer, warmup, steps)


class AveragedWeights:
    """A moving average of a network's weights, short at first so that early checkpoints are good too."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start from the network's present weights; ``decay`` in [0, 1). Frozen weights are shared."""
        frozen = {id(weight): weight for weight in network.parameters() if not weight.requires_grad}
        self.network = copy.deepcopy(network, memo=frozen).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards the network's weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages, weights = self.network.parameters(), network.parameters()
        moving = [(a, w) for a, w in zip(averages, weights, strict=True) if a is not w]
        torch._foreach_lerp_([a for a, _ in moving], [w for _, w in moving], 1.0 - decay)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a ``state_dict``."""
        self.network.load_state_dict(state["network"])
        self.updates = state["updates"]

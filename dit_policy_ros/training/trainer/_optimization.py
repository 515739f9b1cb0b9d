# SPDX-License-Identifier: Apache-2.0
"""Optimiser groups and learning-rate schedule."""

import torch
from transformers import get_cosine_schedule_with_warmup

from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.config import TrainConfig


def freeze(policy: DiTPolicy, config: TrainConfig) -> None:
    """The weights of groups with a multiplier of 0 need no gradient."""
    for parameters, multiplier in (
        (policy.vision_parameters(), config.vision_lr_multiplier),
        (policy.fusion_parameters(), config.observation_lr_multiplier),
    ):
        for parameter in parameters if multiplier == 0 else ():
            parameter.requires_grad_(False)


def make_optimizer(policy: DiTPolicy, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW; the vision encoder and the observation's MLP are groups with learning rates of their own.

    A group with a multiplier of 0 is frozen: its weights need no gradient, because nothing would clear it
    between steps.
    """
    freeze(policy, config)
    groups = [{"params": policy.other_parameters(), "lr": config.learning_rate}]
    for parameters, multiplier in (
        (policy.vision_parameters(), config.vision_lr_multiplier),
        (policy.fusion_parameters(), config.observation_lr_multiplier),
    ):
        if multiplier and parameters:
            groups.append({"params": parameters, "lr": config.learning_rate * multiplier})
    return torch.optim.AdamW(groups, betas=(config.beta1, config.beta2), weight_decay=config.weight_decay)


def make_schedule(
    optimizer: torch.optim.Optimizer, warmup: int, steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The learning rate rises linearly over ``warmup`` steps, then falls to 0 by half a cosine."""
    return get_cosine_schedule_with_warmup(optimizer, warmup, steps)

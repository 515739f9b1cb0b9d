# SPDX-License-Identifier: Apache-2.0
"""Trains tiny policies on the tiny demonstrations."""

import copy
from typing import Any

from tiny_demonstrations import tiny_demonstrations
from tiny_policy import random_policy, tiny_config, tiny_tokenizer

from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.trainer import Trainer


def trainer(config: TrainConfig, **options: Any) -> Trainer:
    """A trainer that has not begun; ``options`` are the policy's."""
    defaults = {"noise_scheduler_type": "DDIM", "num_inference_steps": 5, "prediction_type": "sample"}
    policy = random_policy(tiny_config(**(defaults | options)))
    return Trainer(policy, BatchMaker(tiny_demonstrations(), policy, tiny_tokenizer()), config)


def run(training: Trainer) -> tuple[list[float], DiTPolicy]:
    """Train to the last step; returns the losses and a copy of the last saved network."""
    losses: list[float] = []
    saved: list[DiTPolicy] = []
    training.run(
        lambda now: losses.append(now.loss), lambda network, step: saved.append(copy.deepcopy(network))
    )
    return losses, saved[-1]

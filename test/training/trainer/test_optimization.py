# SPDX-License-Identifier: Apache-2.0
"""Optimiser groups with their learning rates, and the schedule."""

import dataclasses

import pytest
import torch
from tiny_policy import random_policy, tiny_config

from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.trainer import make_schedule
from dit_policy_ros.training.trainer._optimization import make_optimizer


def test_optimiser_groups_hold_every_trained_weight_once() -> None:
    policy = random_policy(tiny_config(cameras=2, use_separate_rgb_encoder_per_camera=True))
    optimizer = make_optimizer(policy, TrainConfig(learning_rate=1e-3, vision_lr_multiplier=0.1))
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in policy.parameters() if p.requires_grad)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-3, 1e-4])
    assert len(optimizer.param_groups[1]["params"]) == len(policy.vision_parameters()) > 0


def test_the_observations_mlp_has_its_own_learning_rate() -> None:
    policy = random_policy(tiny_config(observation_layers=1))
    config = TrainConfig(learning_rate=1e-3, vision_lr_multiplier=0.0, observation_lr_multiplier=0.5)
    optimizer = make_optimizer(policy, config)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-3, 5e-4])
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    vision = {id(p) for p in policy.vision_parameters()}
    assert sorted(grouped) == sorted(
        id(p) for p in policy.parameters() if p.requires_grad and id(p) not in vision
    )
    frozen = make_optimizer(policy, dataclasses.replace(config, observation_lr_multiplier=0.0))
    assert len(frozen.param_groups) == 1


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = make_schedule(optimizer, warmup=4, steps=20)
    rates = []
    for _ in range(20):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[:5] == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert schedule.get_last_lr()[0] == pytest.approx(0.0, abs=1e-6)

# SPDX-License-Identifier: Apache-2.0
"""Training on a GPU learns in every precision, keeps float32 weights, and resumes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from devices import needs_gpu
from tiny_training import run, trainer

from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.trainer import make_accelerator, score_policy

pytestmark = needs_gpu


@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
@pytest.mark.parametrize("vision", [0.0, 1.0])
@pytest.mark.parametrize("objective", ["diffusion", "flow_matching"])
def test_it_learns_and_the_network_runs_on_a_cpu(precision: Any, vision: float, objective: str) -> None:
    config = TrainConfig(
        steps=250,
        batch_size=24,
        learning_rate=3e-3,
        vision_lr_multiplier=vision,
        warmup_steps=10,
        ema_decay=0.9,
        mixed_precision=precision,
    )
    training = trainer(config, objective=objective, dropout=0.0)
    assert training.accelerator.device.type == "cuda"
    losses, network = run(training)
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert {parameter.device.type for parameter in network.parameters()} == {"cuda"}
    everything = np.ones(len(training.batches.data.state), bool)
    on_gpu = score_policy(network, training.batches, everything)
    on_cpu = score_policy(network.to("cpu"), training.batches, everything)  # with other noise
    assert on_cpu.action_error == pytest.approx(on_gpu.action_error, rel=0.5)
    assert on_cpu.action_error < 0.25


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    config = TrainConfig(steps=6, batch_size=8, vision_lr_multiplier=1.0, ema_decay=0.9)
    whole = trainer(config, dropout=0.0)
    run(whole)
    first = trainer(config, dropout=0.0)

    def save_half(network: DiTPolicy, step: int) -> None:
        first.save_state(tmp_path / "state")

    first.run(lambda now: first.stop() if now.step == 3 else None, save_half)
    assert first.step == 3
    second = trainer(config, dropout=0.0)
    second.load_state(tmp_path / "state")
    run(second)
    for a, b in zip(whole.trained.parameters(), second.trained.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)  # a GPU does not sum in the same order each time


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:0"])
def test_the_device_is_the_one_that_was_named(device: str) -> None:
    accelerator = make_accelerator(TrainConfig(device=device))
    assert accelerator.device.type == "cuda" and torch.cuda.current_device() == 0

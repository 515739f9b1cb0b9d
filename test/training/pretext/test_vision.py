# SPDX-License-Identifier: Apache-2.0
"""Stills teach a vision encoder positions in an image."""

import numpy as np
import pytest
import torch
from devices import DEVICES
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import SIDE

from dit_policy_ros.data.video import resize_images
from dit_policy_ros.policy.encoders import VisionEncoder
from dit_policy_ros.training.new_policy._tiny_clip import initialize_from_scratch, tiny_vision_config
from dit_policy_ros.training.pretext import PretextSettings, Targets, pretrain_vision


def pretrain(
    steps: int, device: str = "cpu", compiled: bool = False, weights: np.ndarray | None = None
) -> tuple[np.ndarray, list[float]]:
    """Errors (3, 2) of two coordinates on held-out images, and the losses."""
    data = tiny_demonstrations(episodes=60, length=1)
    images = (
        torch.from_numpy(resize_images(data.images["cam0"], (SIDE, SIDE))).permute(0, 3, 1, 2).float() / 128
        - 1
    )
    sign = np.where(data.task_index == 0, 1.0, -1.0)[:, None]
    positions = (sign * data.action[:, :2]).astype(np.float32)  # (M, 2) in -0.6 to 0.6
    torch.manual_seed(0)
    encoder = VisionEncoder(tiny_vision_config(hidden=32, layers=2, heads=2, image=SIDE, patch=6))
    initialize_from_scratch(encoder)
    encoder.to(device)
    losses: list[float] = []
    errors = pretrain_vision(
        encoder,
        lambda frames: images[frames].to(device),
        Targets(positions, weights),
        PretextSettings(steps, batch_size=32, learning_rate=3e-3, weight_decay=1e-4),
        compiled=compiled,
        report=lambda step, loss: losses.append(loss),
    )
    return errors, losses


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_encoder_learns_positions(compiled: bool, device: str) -> None:
    errors, losses = pretrain(150, device, compiled=compiled)
    assert errors.shape == (3, 2), "a twentieth is held out"
    assert np.mean(losses[-10:]) < 0.2 * np.mean(losses[:10])


def test_a_target_without_weight_is_not_learned() -> None:
    _, both = pretrain(1)
    _, first = pretrain(1, weights=np.array([1.0, 0.0], np.float32))
    _, second = pretrain(1, weights=np.array([0.0, 1.0], np.float32))
    assert first[0] + second[0] == pytest.approx(both[0], rel=1e-5), "the loss is their sum"
    assert 0.0 < first[0] != second[0] > 0.0
    _, none = pretrain(1, weights=np.zeros(2, np.float32))
    assert none == [0.0]

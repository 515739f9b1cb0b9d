# SPDX-License-Identifier: Apache-2.0
"""Encoders and tokenizers of one's own: what they must be able to do."""

from typing import Any

import numpy as np
import pytest
import torch
from devices import DEVICES
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import SIDE, TASKS, tiny_tokenizer

from dit_policy_ros.data.video import resize_images
from dit_policy_ros.policy.encoders import VisionEncoder
from dit_policy_ros.training.new_policy import build_demo_policy, demo_config
from dit_policy_ros.training.new_policy._tiny_clip import (
    BEGIN,
    END,
    grid_embedding,
    initialize_from_scratch,
    tiny_vision_config,
)
from dit_policy_ros.training.pretext import pretrain_vision


def test_the_tokenizer_tells_instructions_apart_and_knows_every_byte() -> None:
    tokenizer = tiny_tokenizer().tokenizer
    assert tokenizer.tokenize(TASKS[0]) == [word + "</w>" for word in TASKS[0].split()]
    ids, mask = tiny_tokenizer()([TASKS[0], TASKS[1], "Füße 日本!"])
    assert not torch.equal(ids[0], ids[1])
    assert ids[0, 0] == tokenizer.convert_tokens_to_ids(BEGIN)
    end = tokenizer.convert_tokens_to_ids(END)
    for row, real in zip(ids, mask, strict=True):
        # One end after the text: an unknown byte would become another.
        assert row[real].tolist().count(end) == 1 and row[real][-1] == end


def test_grid_embedding_tells_places_apart_and_neighbours_are_alike() -> None:
    table = grid_embedding(8, 64)
    gaps = torch.cdist(table, table)
    assert (gaps + 10 * torch.eye(64)).min() > 0.5
    assert gaps[0, 1] < gaps[0, 3] and gaps[0, 8] < gaps[0, 24]


def taught(steps: int, device: str = "cpu", **options: Any) -> tuple[np.ndarray, list[float]]:
    """Errors (3, 2) of two places on held-out images, and the losses."""
    data = tiny_demonstrations(episodes=60, length=1)
    images = (
        torch.from_numpy(resize_images(data.images["cam0"], (SIDE, SIDE))).permute(0, 3, 1, 2).float() / 128
        - 1
    )
    sign = np.where(data.task_index == 0, 1.0, -1.0)[:, None]
    places = (sign * data.action[:, :2]).astype(np.float32)  # (M, 2) in -0.6 to 0.6
    torch.manual_seed(0)
    encoder = VisionEncoder(tiny_vision_config(hidden=32, layers=2, heads=2, image=SIDE, patch=6))
    initialize_from_scratch(encoder)
    encoder.to(device)
    losses: list[float] = []
    errors = pretrain_vision(
        encoder,
        lambda frames: images[frames].to(device),
        places,
        steps=steps,
        batch_size=32,
        learning_rate=3e-3,
        report=lambda step, loss: losses.append(loss),
        **options,
    )
    return errors, losses


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_pretext_teaches_an_encoder_where_things_are(compiled: bool, device: str) -> None:
    errors, losses = taught(150, device, compiled=compiled)
    assert errors.shape == (3, 2), "a twentieth is held out"
    assert np.mean(losses[-10:]) < 0.2 * np.mean(losses[:10])


def test_a_target_without_weight_is_not_taught() -> None:
    _, both = taught(1)
    _, first = taught(1, weights=np.array([1.0, 0.0], np.float32))
    _, second = taught(1, weights=np.array([0.0, 1.0], np.float32))
    assert first[0] + second[0] == pytest.approx(both[0], rel=1e-5), "the loss is their sum"
    assert 0.0 < first[0] != second[0] > 0.0
    _, none = taught(1, weights=np.zeros(2, np.float32))
    assert none == [0.0]


def test_the_demos_network_is_small_and_sees_the_central_square() -> None:
    policy, tokenizer = build_demo_policy(demo_config({"top": (240, 320)}, 14, 14), TASKS)
    assert sum(p.numel() for p in policy.parameters()) * 4 < 16e6  # [byte]
    image = torch.zeros(1, 3, 240, 320)
    image[..., 40:280] = 1.0  # the central square of a 4:3 image
    seen = policy.observation_encoder.eval().resize_and_crop(image)
    assert seen.shape == (1, 3, 144, 144) and seen[..., 1:-1].min() > 0.99
    assert len(tokenizer.tokenizer) == policy.observation_encoder.text_encoder.text_encoder.config.vocab_size

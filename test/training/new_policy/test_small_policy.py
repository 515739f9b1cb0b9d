# SPDX-License-Identifier: Apache-2.0
"""The demo's small policy, its tokenizer and its position embeddings."""

from typing import Any

import pytest
import torch
from tiny_policy import TASKS, tiny_tokenizer

from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy import build_demo_policy, demo_config
from dit_policy_ros.training.new_policy._new_policy import DataShape, new_policy_config
from dit_policy_ros.training.new_policy._small_policy import vision_side
from dit_policy_ros.training.new_policy._tiny_clip import BEGIN, END, grid_embedding


def test_the_tokenizer_distinguishes_instructions_and_knows_every_byte() -> None:
    tokenizer = tiny_tokenizer().tokenizer
    assert tokenizer.tokenize(TASKS[0]) == [word + "</w>" for word in TASKS[0].split()]
    ids, mask = tiny_tokenizer()([TASKS[0], TASKS[1], "Füße 日本!"])
    assert not torch.equal(ids[0], ids[1])
    assert ids[0, 0] == tokenizer.convert_tokens_to_ids(BEGIN)
    end = tokenizer.convert_tokens_to_ids(END)
    for row, real in zip(ids, mask, strict=True):
        # One end token after the text; an unknown byte would become another one.
        assert row[real].tolist().count(end) == 1 and row[real][-1] == end


def test_the_grid_embedding_distinguishes_positions_and_neighbours_are_similar() -> None:
    table = grid_embedding(8, 64)
    gaps = torch.cdist(table, table)
    assert (gaps + 10 * torch.eye(64)).min() > 0.5
    assert gaps[0, 1] < gaps[0, 3] and gaps[0, 8] < gaps[0, 24]


def test_the_demos_network_is_small_and_reads_the_central_square() -> None:
    policy, tokenizer = build_demo_policy(demo_config({"observation.images.top": (240, 320)}, 14, 14), TASKS)
    assert sum(p.numel() for p in policy.parameters()) * 4 < 16e6  # [byte]
    image = torch.zeros(1, 3, 240, 320)
    image[..., 40:280] = 1.0  # the central square of a 4:3 image
    seen = policy.observation_encoder.eval().resize_and_crop(image)
    assert seen.shape == (1, 3, 144, 144) and seen[..., 1:-1].min() > 0.99
    assert len(tokenizer.tokenizer) == policy.observation_encoder.text_encoder.text_encoder.config.vocab_size


@pytest.mark.parametrize(
    ("options", "side"),
    [
        ({}, 144),
        ({"image_crop_shape": [84, 84]}, 84),
        ({"image_resize_shape": [96, 96]}, 96),
        ({"image_resize_shape": [240, 320], "image_crop_shape": [224, 224]}, 224),
        ({"image_resize_shape": [96, 128]}, None),
        ({"image_resize_shape": [48, 64]}, None),
        ({"image_crop_shape": None}, None),
        ({"image_crop_shape": [224, 224]}, None),  # larger than the images, so LeRobot does not crop
        ({"image_crop_shape": [20, 20]}, None),
    ],
)
def test_the_small_network_reads_any_square_and_refuses_the_rest_before_decoding(
    options: dict[str, Any], side: int | None
) -> None:
    sizes = {"observation.images.top": (240, 320)}
    shape = DataShape(30.0, 2, 2, ("a", "b"), ("a", "b"), sizes)
    config = new_policy_config(TrainConfig(policy=options), shape)
    if side is None:
        with pytest.raises(TrainingError, match=r"reads square images of at least 36 pixels, got .*--policy"):
            vision_side(config)
        return
    assert vision_side(config) == side
    policy, _ = build_demo_policy(config, TASKS)
    images = torch.zeros(1, config.read_image_steps, 1, 3, *(config.image_resize_shape or (240, 320)))
    assert torch.isfinite(policy.observation_encoder.encode_images(images)).all()


@pytest.mark.parametrize("network", ["small", "clip"])
@pytest.mark.parametrize("fps", [5.0, 15.0, 30.0, 50.0, 100.0])
def test_a_chunk_lasts_as_long_at_any_rate(network: str, fps: float) -> None:
    def config(rate: float, **policy: Any) -> Any:
        shape = DataShape(rate, 2, 2, None, None, {"observation.images.top": (240, 320)})
        return new_policy_config(TrainConfig(network=network, policy=policy), shape)

    known, found = config(30.0), config(fps)
    assert (known.horizon, known.n_action_steps) == ((24, 16) if network == "small" else (32, 24))
    assert found.horizon == max(8, round(known.horizon * fps / 30.0))
    assert found.n_action_steps == pytest.approx(known.n_action_steps * fps / 30.0, abs=0.5)
    assert found.n_action_steps <= found.horizon - found.n_obs_steps + 1
    assert found.drop_n_last_frames == known.drop_n_last_frames  # of the clip network: as LeRobot derives it
    assert config(fps, horizon=40, n_action_steps=20).horizon == 40

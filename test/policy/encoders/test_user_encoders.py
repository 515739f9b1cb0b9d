# SPDX-License-Identifier: Apache-2.0
"""CNNs for images and sentence encoders for text: their features, their checkpoints, their inference."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_encoders import (
    CELLS,
    FEATURES,
    SIDE,
    WORDS,
    encoder_config,
    encoder_policy,
    tiny_cnn,
    tiny_sentence,
    word_tokenizer,
)
from tiny_policy import TASKS, TOKENS, random_observation, random_stats

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import CheckpointFacts, pretrained_policy, write_checkpoint
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.encoders import (
    TextEncoder,
    VisionEncoder,
    image_size_error,
    read_text_architecture,
)
from dit_policy_ros.policy.encoders._cnn import grid_positions, spatial_softmax
from dit_policy_ros.policy.encoders._text import text_positions

CNNS = ("resnet", "efficientnet", "efficientnet_lite")


@pytest.fixture(autouse=True)
def hub_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def write(folder: Path, family: str = "resnet", **options: Any) -> Path:
    config = encoder_config(family, **options)
    facts = CheckpointFacts(fps=30.0, known_tasks=TASKS, instruction_dropout=0.1)
    return write_checkpoint(
        folder, encoder_policy(config, family), random_stats(config), facts, word_tokenizer()
    )


@pytest.mark.parametrize("family", CNNS)
def test_a_cnn_gives_the_mean_of_its_grid_and_its_cells(family: str) -> None:
    torch.manual_seed(0)
    encoder = VisionEncoder(tiny_cnn(family)).eval()
    images = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        whole, tokens = encoder(images), encoder(images, patches=True)
        grid = encoder.model(pixel_values=images).last_hidden_state  # (B, F, 2, 2)
    assert whole.shape == (2, encoder.feature_dim) and tokens.shape == (2, 1 + CELLS, encoder.feature_dim)
    torch.testing.assert_close(whole, grid.mean(dim=(2, 3)))
    torch.testing.assert_close(tokens[:, 2], grid[:, :, 0, 1])  # row after row
    assert image_size_error(tiny_cnn(family), (48, 16)) is None
    assert image_size_error(tiny_cnn(family), (40, 16)) == "it needs multiples of 16"


def test_squeeze_and_excitation_is_left_out_only_where_the_configuration_says_so() -> None:
    has_it = [
        any("squeeze_excite" in name for name, _ in VisionEncoder(tiny_cnn(f)).named_parameters())
        for f in ("efficientnet", "efficientnet_lite")
    ]
    assert has_it == [True, False]


def test_the_spatial_softmax_says_where_a_feature_is() -> None:
    grid = torch.zeros(1, 2, 3, 5)
    grid[0, 0, 2, 0], grid[0, 1, 1, 2] = 100.0, 100.0  # lower left, middle
    torch.testing.assert_close(spatial_softmax(grid), torch.tensor([[-0.8, 0.0, 2 / 3, 0.0]]))
    torch.testing.assert_close(spatial_softmax(torch.zeros(1, 1, 4, 4)), torch.zeros(1, 2))


@pytest.mark.parametrize("family", CNNS)
def test_training_leaves_batch_statistics_and_dropout_as_at_inference(family: str) -> None:
    config = encoder_config(family)
    policy = encoder_policy(config, family)
    encoder = policy.observation_encoder.first_vision_encoder
    assert encoder is not None
    images, before = torch.randn(3, 3, SIDE, SIDE), dict(policy.named_buffers())
    before = {name: tensor.clone() for name, tensor in before.items()}
    at_inference = encoder(images)
    policy.train()
    in_training = encoder(images)
    torch.testing.assert_close(in_training, at_inference)
    assert all(torch.equal(tensor, before[name]) for name, tensor in policy.named_buffers())
    in_training.sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())


def test_cells_of_a_grid_get_positions_that_all_differ() -> None:
    positions = grid_positions((6, 8), 32)
    assert positions.shape == (48, 32)
    assert min(float((a - b).abs().max()) for a, b in itertools.combinations(positions, 2)) > 0.01
    tokens = encoder_policy(encoder_config(conditioning="cross_attention")).observation_encoder.tokens
    assert tokens is not None and tokens.positions is not None
    assert tokens.positions.shape == (1 + CELLS, 32) and not tokens.positions[0].any()


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_sentence_is_the_mean_of_its_tokens_without_the_padding(kind: str) -> None:
    torch.manual_seed(0)
    encoder = TextEncoder(tiny_sentence(kind), 8).train()
    ids, mask = word_tokenizer()(list(TASKS))
    pooled = encoder.pool(ids, mask)
    assert torch.equal(pooled, encoder.pool(ids, mask)), "dropout must stay off in training"
    for row in range(2):
        count = int(mask[row].sum())
        alone = encoder.text_encoder(input_ids=ids[row : row + 1, :count]).last_hidden_state  # (1, L, E)
        torch.testing.assert_close(pooled[row], alone[0].mean(dim=0), atol=1e-5, rtol=1e-5)
    assert text_positions(tiny_sentence(kind)) == TOKENS
    assert [n for n, p in encoder.named_parameters() if p.requires_grad] == [
        "projection.weight",
        "projection.bias",
    ]


def test_all_tokens_of_an_instruction_need_no_mask() -> None:
    torch.manual_seed(0)
    encoder = TextEncoder(tiny_sentence(), 8, tokens=True)
    ids, mask = word_tokenizer()(list(TASKS))
    tokens = encoder.pool(ids, mask)  # (B, 1 + L, E)
    assert tokens.shape == (2, 1 + TOKENS, WORDS) and encoder(tokens).shape == (2, 1 + TOKENS, 8)
    whole = tokens[:, :1].expand(-1, TOKENS, -1)
    assert torch.equal(tokens[:, 1:][~mask], whole[~mask]) and not torch.equal(
        tokens[:, 1:][mask], whole[mask]
    )


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("resnet", {}),
        ("efficientnet", {"image_pooling": "spatial_softmax", "observation_layers": 1}),
        ("efficientnet_lite", {"conditioning": "cross_attention", "text_tokens": "all"}),
        ("resnet", {"conditioning": "joint", "image_tokens": "pooled", "image_pooling": "spatial_softmax"}),
        ("efficientnet_lite", {"cameras": 2, "use_separate_rgb_encoder_per_camera": True}),
        ("resnet", {"cameras": 0, "vision_encoder_family": "clip", "vision_encoder_name": "clip"}),
    ],
    ids=str,
)
def test_a_checkpoint_is_complete_and_infers_the_same_in_every_form(
    tmp_path: Path, family: str, options: dict[str, Any]
) -> None:
    folder = write(tmp_path / "c", family, **options)
    assert (folder / "text" / "tokenizer.json").is_file() and not (folder / "clip").exists()
    chunks = []
    for backend in ("plain", "eager", "traced"):
        policy = load_policy(folder, backend=backend, guidance_scale=2.0)
        images, state = random_observation(policy.checkpoint.config)
        noise = np.full((policy.horizon, policy.action_dim), 0.1, np.float32)
        policy.predict(images, state, TASKS[0], noise)  # other numbers of images than at the first
        later = {name: np.roll(frames, 1, axis=0) for name, frames in images.items()}
        chunks.append(policy.predict(later, state, TASKS[1], noise))
    for chunk in chunks[1:]:
        np.testing.assert_allclose(chunk, chunks[0], atol=1e-4)
    other = policy.predict(later, state, TASKS[0], noise)
    assert np.abs(other - chunks[-1]).max() > 1e-4, "the instruction must count"


def test_a_clip_vision_encoder_and_a_sentence_encoder_make_one_checkpoint(tmp_path: Path) -> None:
    from tiny_variants import tiny_architecture

    from dit_policy_ros.policy.dit_policy import DiTPolicy

    config = encoder_config(
        vision_encoder_family="clip", vision_encoder_name="clip", image_resize_shape=(24, 24)
    )
    torch.manual_seed(0)
    policy = DiTPolicy(config, tiny_architecture("clip"), tiny_sentence()).eval()
    facts = CheckpointFacts(fps=30.0, known_tasks=TASKS)
    folder = write_checkpoint(tmp_path / "c", policy, random_stats(config), facts, word_tokenizer())
    loaded = load_policy(folder)
    state = loaded.module.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in policy.state_dict().items())


def test_published_encoders_are_found_in_folders(tmp_path: Path) -> None:
    sentence, vision = tmp_path / "words", tmp_path / "resnet"
    torch.manual_seed(3)
    source = TextEncoder(tiny_sentence(), 8).text_encoder
    source.save_pretrained(sentence)
    word_tokenizer().tokenizer.save_pretrained(sentence)
    published = VisionEncoder(tiny_cnn("resnet")).model
    published.save_pretrained(vision)
    config = encoder_config(vision_encoder_name=str(vision), text_encoder_name=str(sentence))
    policy, tokenizer = pretrained_policy(config)
    encoder = policy.observation_encoder
    assert encoder.first_vision_encoder is not None and tokenizer([TASKS[0]])[0].shape == (1, TOKENS)
    for found, expected in (
        (encoder.first_vision_encoder.model, published),
        (encoder.text_encoder.text_encoder, source),
    ):
        weights = found.state_dict()
        assert all(torch.equal(weights[name], tensor) for name, tensor in expected.state_dict().items())


def test_a_clip_is_no_sentence_encoder(tmp_path: Path) -> None:
    from transformers import CLIPConfig

    CLIPConfig().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"'clip'; set text_encoder_family to 'clip'"):
        read_text_architecture("sentence", str(tmp_path), local_files_only=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text_tokens": "all"}, "'pooled' with conditioning 'adaln'"),
        (
            {"text_tokens": "all", "conditioning": "joint", "tokenizer_padding": "longest"},
            "tokenizer_padding is 'max_length'",
        ),
        (
            {
                "image_pooling": "spatial_softmax",
                "vision_encoder_family": "clip",
                "vision_encoder_name": "clip",
            },
            "'mean' unless the vision_encoder_family is 'resnet' or 'efficientnet'",
        ),
        ({"image_pooling": "spatial_softmax", "conditioning": "joint"}, "'mean' with image_tokens 'all'"),
        (
            {"image_pooling": "attention", "conditioning": "joint", "image_tokens": "pooled"},
            "'attention' only with conditioning 'adaln'",
        ),
        ({"text_encoder_family": "clip"}, "another text_encoder_family"),
        ({"hidden_dim": 30, "conditioning": "joint", "use_rope": False}, "a multiple of 4"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        encoder_config(**options).check("config.json")


def test_the_options_are_written_only_if_they_are_used() -> None:
    names = ("image_pooling", "text_encoder_family", "text_tokens")
    assert not any(name in PolicyConfig({}, {}).extensions for name in names)
    assert set(encoder_config(image_pooling="spatial_softmax").extensions) >= {
        "image_pooling",
        "text_encoder_family",
    }
    assert VisionEncoder(tiny_cnn("resnet")).feature_dim == FEATURES

# SPDX-License-Identifier: Apache-2.0
"""CNNs without their deeper layers, and vectors that keep what is where in an image."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoders import CELLS, FEATURES, SIDE, encoder_config, tiny_cnn, tiny_sentence, word_tokenizer
from tiny_policy import TASKS, random_observation, random_stats

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import CheckpointFacts, pretrained_policy, write_checkpoint
from dit_policy_ros.policy.encoders import TextEncoder, VisionEncoder, image_size_error, shortened
from dit_policy_ros.policy.encoders._cnn import pooled

CNNS = ("resnet", "efficientnet", "efficientnet_lite")


@pytest.mark.parametrize("stride", [4, 8, 16])
@pytest.mark.parametrize("family", CNNS)
def test_a_shortened_network_computes_what_the_whole_one_does_on_its_way(family: str, stride: int) -> None:
    torch.manual_seed(0)
    whole = VisionEncoder(tiny_cnn(family)).eval()
    short = VisionEncoder(shortened(tiny_cnn(family), stride)).eval()
    weights = whole.model.state_dict()
    short.model.load_state_dict({name: weights[name] for name in short.model.state_dict()})
    images = torch.randn(2, 3, 2 * SIDE, SIDE)
    with torch.no_grad():
        output = whole.model(pixel_values=images, output_hidden_states=True)
        grid = short.model(pixel_values=images).last_hidden_state
    grids = [each for each in output.hidden_states if each.shape[-1] == SIDE // stride]
    expected = output.last_hidden_state if stride == 16 else grids[-1]  # 16 is that of the whole network
    torch.testing.assert_close(grid, expected)
    assert short.feature_dim == grid.shape[1]
    assert image_size_error(short.model.config, (stride, 3 * stride)) is None


def test_a_cell_size_that_no_layer_has_is_refused_with_those_that_there_are() -> None:
    for family in ("resnet", "efficientnet"):
        with pytest.raises(CheckpointError, match=r"vision_stride: expected one of 4, 8, 16 or 0 .*, got 5"):
            shortened(tiny_cnn(family), 5)
    with pytest.raises(CheckpointError, match=r"vision_stride.*0 unless the vision_encoder_family is"):
        encoder_config(vision_encoder_family="clip", vision_encoder_name="clip", vision_stride=8).check("c")


def test_a_vector_of_squares_keeps_the_place_of_a_feature() -> None:
    grid = torch.arange(2 * 8 * 4, dtype=torch.float32).reshape(1, 2, 8, 4)  # cells of 16 pixels
    vector = pooled(grid, "grid", (128, 64))  # 4 x 2 squares of 32 pixels
    expected = torch.stack([grid[0, f, 2 * r : 2 * r + 2, 2 * c : 2 * c + 2].mean()
                            for f in range(2) for r in range(4) for c in range(2)])  # fmt: skip
    torch.testing.assert_close(vector, expected[None])
    torch.testing.assert_close(pooled(grid, "grid", (16, 16)), grid.mean(dim=(2, 3)))  # smaller than a square
    encoder = VisionEncoder(tiny_cnn("resnet"), "grid", (64, 96)).eval()
    assert encoder(torch.randn(2, 3, 64, 96)).shape == (2, encoder.feature_dim) == (2, FEATURES * 6)
    with pytest.raises(ValueError, match="needs the size of the images"):
        VisionEncoder(tiny_cnn("resnet"), "grid")


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("efficientnet_lite", {"image_pooling": "grid", "observation_layers": 1}),
        ("resnet", {"image_pooling": "grid", "cameras": 2, "use_separate_rgb_encoder_per_camera": True}),
        ("efficientnet", {"conditioning": "cross_attention", "text_tokens": "all"}),
    ],
    ids=str,
)
def test_a_new_policy_takes_the_first_layers_of_published_weights_and_is_read_back(
    tmp_path: Path, family: str, options: dict
) -> None:
    torch.manual_seed(0)
    published, words = VisionEncoder(tiny_cnn(family)).model, tmp_path / "words"
    published.save_pretrained(tmp_path / "cnn")
    TextEncoder(tiny_sentence(), 8).text_encoder.save_pretrained(words)
    word_tokenizer().tokenizer.save_pretrained(words)
    names = {"vision_encoder_name": str(tmp_path / "cnn"), "text_encoder_name": str(words)}
    config = encoder_config(family, vision_stride=8, image_resize_shape=(2 * SIDE, SIDE), **names, **options)
    policy, tokenizer = pretrained_policy(config)
    encoder = policy.observation_encoder.first_vision_encoder
    assert encoder is not None
    found, expected = encoder.model.state_dict(), published.state_dict()
    assert 0 < len(found) < len(expected)
    assert all(torch.equal(found[name], expected[name]) for name in found)
    facts = CheckpointFacts(fps=30.0, known_tasks=TASKS)
    folder = write_checkpoint(tmp_path / "c", policy.eval(), random_stats(config), facts, tokenizer)
    images, state = random_observation(config)
    noise = np.full((config.horizon, config.action_dim), 0.1, np.float32)
    plain, traced = (
        load_policy(folder, backend=form).predict(images, state, TASKS[0], noise)
        for form in ("plain", "traced")
    )
    np.testing.assert_allclose(traced, plain, atol=1e-4)
    loaded = load_policy(folder).module.observation_encoder
    assert loaded.image_dim == encoder.feature_dim
    if loaded.tokens is not None:
        assert loaded.tokens.positions is not None
        # Twice the image, cells of half the side.
        assert len(loaded.tokens.positions) == 1 + 8 * CELLS

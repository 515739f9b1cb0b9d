# SPDX-License-Identifier: Apache-2.0
"""The instruction says what to find in an image: `image_pooling: attention`."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_demonstrations import tiny_demonstrations
from tiny_encoders import (
    FEATURES,
    SIDE,
    WORDS,
    encoder_config,
    encoder_policy,
    tiny_cnn,
    word_tokenizer,
)
from tiny_policy import TASKS, random_observation, random_stats
from torch import Tensor, nn
from torch.nn import functional

from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import CheckpointFacts, read_checkpoint, write_checkpoint
from dit_policy_ros.policy.encoders import VisionEncoder
from dit_policy_ros.policy.encoders._attention_pooling import AttentionPooling, CameraAttentionPooling
from dit_policy_ros.policy.encoders._cnn import cell_centres
from dit_policy_ros.training.batches import BatchMaker, _image_features
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy import DataShape
from dit_policy_ros.training.new_policy._adapt import adapt

ROWS, COLUMNS, WIDTH = 3, 5, 8  # of a grid, and the entries of an instruction's vector
CELLS = ROWS * COLUMNS


def pooling(features: int = FEATURES, seed: int = 0, attended: int = 0) -> AttentionPooling:
    torch.manual_seed(seed)
    return AttentionPooling(features, cell_centres((ROWS, COLUMNS)), WIDTH, attended)


def test_centres_lie_between_the_edges_row_after_row() -> None:
    centres = cell_centres((2, 4)).tolist()  # column, row
    rows = [[(2 * column + 1) / 4 - 1, row] for row in (-0.5, 0.5) for column in range(4)]
    assert centres == pytest.approx(np.array(rows))


@pytest.mark.parametrize("attended", [0, 3])
def test_it_is_a_softmax_over_cells_of_queries_and_keys(attended: int) -> None:
    module = pooling(attended=attended)
    torch.manual_seed(1)
    grids, text = torch.randn(2, 3, 4 * CELLS * FEATURES), torch.randn(2, WIDTH)  # 3 steps, 4 cameras
    with torch.no_grad():
        found = module(grids, text).reshape(2, 3, 4, -1, 2 + attended)
    heads, entries = module.key.shape[:2]
    queries = module.query(text).reshape(2, heads, entries)
    cells = grids.reshape(2, 3, 4, CELLS, FEATURES)
    for b, i, n, head in ((0, 0, 0, 0), (1, 2, 3, heads - 1), (0, 1, 2, 5)):
        normal = [(cell - cell.mean()) / (cell.var(correction=0) + 1e-5).sqrt() for cell in cells[b, i, n]]
        keys = torch.stack([module.key[head] @ cell for cell in normal])  # (P, K)
        weight = (keys @ queries[b, head] / math.sqrt(entries)).softmax(dim=0)
        centres = [(column, row) for row in range(ROWS) for column in range(COLUMNS)]
        place = sum(w * torch.tensor([(2 * c + 1) / COLUMNS - 1, (2 * r + 1) / ROWS - 1])
                    for w, (c, r) in zip(weight, centres, strict=True))  # fmt: skip
        torch.testing.assert_close(found[b, i, n, head, :2], place, rtol=1e-4, atol=1e-5)
        if module.value is not None:
            cell = sum(w * each for w, each in zip(weight, normal, strict=True))  # (F,)
            torch.testing.assert_close(
                found[b, i, n, head, 2:], cell @ module.value[head], rtol=1e-4, atol=1e-5
            )


class Finder(nn.Module):
    """Tells a place from the cells and the instruction, by the attention or from all cells side by side."""

    def __init__(self, attends: bool) -> None:
        super().__init__()
        self.pooling = pooling() if attends else None
        entries = self.pooling.image_dim if self.pooling else CELLS * FEATURES
        self.read = nn.Sequential(nn.Linear(entries + WIDTH, 64), nn.GELU(), nn.Linear(64, 2))

    def forward(self, grids: Tensor, text: Tensor) -> Tensor:
        image = self.pooling(grids, text) if self.pooling else grids
        return self.read(torch.cat((image.flatten(1), text), dim=-1))


def scenes(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Grids with three kinds of things in different cells, instructions of one kind, and its place."""
    fixed = torch.Generator().manual_seed(0)
    looks = torch.randn(3, FEATURES, generator=fixed) * 2
    words = torch.randn(3, WIDTH, generator=fixed)
    generator = torch.Generator().manual_seed(seed)
    grids = 0.3 * torch.randn(count, CELLS, FEATURES, generator=generator)
    at = torch.stack([torch.randperm(CELLS, generator=generator)[:3] for _ in range(count)])  # (M, 3)
    grids.scatter_add_(1, at[..., None].expand(-1, -1, FEATURES), looks.expand(count, -1, -1))
    kind = torch.randint(3, (count,), generator=generator)
    place = cell_centres((ROWS, COLUMNS))[at[torch.arange(count), kind]]
    return grids.flatten(1)[:, None], words[kind], place


def test_few_scenes_teach_to_find_what_the_instruction_names_in_other_scenes() -> None:
    """And not to a network that reads all cells side by side: it learns the scenes by heart."""
    known, new = scenes(150, seed=1), scenes(200, seed=2)
    error = {}
    for attends in (True, False):
        torch.manual_seed(0)
        finder = Finder(attends)
        optimizer = torch.optim.AdamW(finder.parameters(), 3e-3)
        for _ in range(300):
            optimizer.zero_grad()
            functional.l1_loss(finder(*known[:2]), known[2]).backward()
            optimizer.step()
        with torch.no_grad():
            error[attends] = [float((finder(*each[:2]) - each[2]).abs().mean()) for each in (known, new)]
    assert max(error[True][0], error[False][0]) < 0.1, f"both learn the known scenes: {error}"
    assert error[True][1] < 0.5 * error[False][1], f"but new ones only by attention: {error}"


@pytest.mark.parametrize(
    ("family", "options"),
    [
        (
            "efficientnet_lite",
            {"observation_layers": 1, "image_steps": 1, "attended_features": 3, "image_blur": 0.8},
        ),
        ("efficientnet_lite", {"observation_layers": 2, "image_skip": True, "cameras": 2}),
        (
            "efficientnet_lite",
            {"observation_layers": 1, "observation_width": 48, "heads_per_camera": True, "cameras": 2},
        ),
        ("resnet", {"cameras": 2, "use_separate_rgb_encoder_per_camera": True}),
    ],
    ids=str,
)
def test_a_policy_with_it_is_read_back_and_infers_the_same_in_every_form(
    tmp_path: Path, family: str, options: dict
) -> None:
    config = encoder_config(family, image_pooling="attention", image_resize_shape=(2 * SIDE, SIDE), **options)
    policy = encoder_policy(config, family)
    encoder = policy.observation_encoder
    assert encoder.attention_pooling is not None and encoder.image_dim == encoder.attention_pooling.image_dim
    trained = {id(each) for each in (*policy.fusion_parameters(), *policy.other_parameters())}
    assert all(id(each) in trained for each in encoder.attention_pooling.parameters())
    facts = CheckpointFacts(fps=30.0, known_tasks=TASKS)
    folder = write_checkpoint(tmp_path / "c", policy, random_stats(config), facts, word_tokenizer())
    images, state = random_observation(config)
    noise = np.full((config.horizon, config.action_dim), 0.1, np.float32)
    chunks = [
        load_policy(folder, backend=form, guidance_scale=1.5).predict(images, state, TASKS[0], noise)
        for form in ("plain", "eager", "traced")
    ]
    for chunk in chunks[1:]:
        np.testing.assert_allclose(chunk, chunks[0], atol=1e-4)
    vision = encoder.first_vision_encoder
    assert vision is not None
    seen = torch.randn(1, config.read_image_steps, len(config.image_features) * vision.feature_dim)
    words, still = torch.randn(1, WORDS), torch.zeros(1, config.n_obs_steps, config.state_dim)
    with torch.no_grad():
        vectors = [
            encoder.combine(each, still, text)
            for each, text in ((seen, words), (seen.roll(FEATURES, dims=2), words), (seen, -words))
        ]
    assert not torch.allclose(vectors[0], vectors[1], atol=1e-3), "it sees where in the image something is"
    assert not torch.allclose(vectors[0], vectors[2], atol=1e-3)


def test_an_encoders_vector_is_its_grid_cell_after_cell() -> None:
    encoder = VisionEncoder(tiny_cnn("resnet"), "attention", (SIDE, 2 * SIDE)).eval()
    with torch.no_grad():
        images = torch.randn(1, 3, SIDE, 2 * SIDE)
        grid = encoder.model(pixel_values=images).last_hidden_state  # (1, F, 2, 4)
        cells = encoder(images).unflatten(1, (-1, FEATURES))  # (1, P, F)
    assert cells.numel() == encoder.feature_dim
    torch.testing.assert_close(cells[0, 4 + 1], grid[0, :, 1, 1])  # second row, second column


def maker_and_policy() -> tuple[BatchMaker, object]:
    config = encoder_config(image_pooling="attention", cameras=2)
    policy = encoder_policy(config)
    return BatchMaker(tiny_demonstrations(cameras=2), policy, word_tokenizer()), policy


def test_kept_features_give_almost_the_same_loss_as_images() -> None:
    maker, policy = maker_and_policy()
    features = maker.encode_frames(policy)
    assert features.parts[0].dtype == torch.float16, "whole grids are many numbers"
    losses = []
    for batch in (maker.batch(np.arange(0, 48, 5)), maker.batch(np.arange(0, 48, 5), features)):
        torch.manual_seed(0)
        losses.append(policy(batch).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_features_that_memory_has_no_room_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    maker, policy = maker_and_policy()
    monkeypatch.setattr(_image_features, "available_memory", lambda: 1000)
    with pytest.raises(TrainingError, match=r"features of 96 images take .* GB.*image_pooling=grid"):
        maker.encode_frames(policy)


def test_heads_of_a_camera_see_its_image_alone_and_follow_it_to_another_robot(tmp_path: Path) -> None:
    config = encoder_config(image_pooling="attention", cameras=2, heads_per_camera=True)
    policy = encoder_policy(config)
    pooling = policy.observation_encoder.attention_pooling
    assert isinstance(pooling, CameraAttentionPooling)
    first, second = pooling.cameras
    assert isinstance(first, AttentionPooling) and isinstance(second, AttentionPooling)
    text = torch.randn(1, config.hidden_dim)
    grids = torch.randn(1, config.read_image_steps, 2 * first.centres.shape[0] * FEATURES)
    with torch.no_grad():
        seen = pooling(grids, text).chunk(2, dim=2)
        for pool, grid, part in zip((first, second), grids.chunk(2, dim=2), seen, strict=True):
            torch.testing.assert_close(pool(grid, text), part)
    assert not torch.equal(first.key, second.key)
    facts = CheckpointFacts(fps=30.0, known_tasks=TASKS)
    folder = write_checkpoint(tmp_path / "c", policy, random_stats(config), facts, word_tokenizer())
    keys = ("observation.images.side", list(config.image_features)[1])  # a new camera, and the second one
    other = DataShape(30.0, 3, 2, ("x", "y", "z"), ("x", "y"), dict.fromkeys(sorted(keys), (60, 80)))
    adapted, _ = adapt(TrainConfig(init="c", adapt=True), other, read_checkpoint(folder))
    now = adapted.observation_encoder.attention_pooling
    assert isinstance(now, CameraAttentionPooling)
    for key, pool in zip(adapted.config.image_features, now.cameras, strict=True):
        expected = second if key == keys[1] else first
        assert torch.equal(pool.key, expected.key), key  # type: ignore[arg-type]  # modules of a ModuleList


def test_another_robot_keeps_what_the_heads_look_for(tmp_path: Path) -> None:
    config = encoder_config(image_pooling="attention", cameras=1)
    facts = CheckpointFacts(fps=30.0, known_tasks=TASKS)
    folder = write_checkpoint(
        tmp_path / "c", encoder_policy(config), random_stats(config), facts, word_tokenizer()
    )
    checkpoint = read_checkpoint(folder)
    other = DataShape(30.0, 3, 2, ("x", "y", "z"), ("x", "y"), {"observation.images.side": (60, 80)})
    policy, report = adapt(TrainConfig(init="c", adapt=True), other, checkpoint)
    before, now = (each.observation_encoder.attention_pooling for each in (checkpoint.policy, policy))
    assert before is not None and now is not None
    assert torch.equal(before.key, now.key) and torch.equal(before.query.weight, now.query.weight)
    assert report.weights["images"][0] >= before.key.numel()

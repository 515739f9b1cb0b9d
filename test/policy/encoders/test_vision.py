# SPDX-License-Identifier: Apache-2.0
"""All families of vision encoders, built from their configs without the hub."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mostly_slow import mostly_slow
from tiny_policy import TASKS, random_observation
from tiny_variants import PATCHES, WIDTH, new_policy, shaken_policy, tiny_architecture, variant_config
from tiny_variants import save as save_variant
from transformers import CLIPVisionConfig, SiglipConfig, SiglipVisionConfig

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.dit_policy import Batch
from dit_policy_ros.policy.encoders import FAMILIES, VisionEncoder, image_size_error, read_architecture

OTHER_FAMILIES = tuple(name for name in FAMILIES if name != "clip")


@pytest.fixture(autouse=True)
def hub_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def save(folder: Path, **options: Any) -> Path:
    return save_variant(folder, num_inference_steps=3, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_vector_per_image_and_one_token_per_patch(family: str) -> None:
    torch.manual_seed(0)
    encoder = VisionEncoder(tiny_architecture(family)).eval()
    images = torch.randn(2, 3, 24, 24)
    with torch.no_grad():
        whole, tokens = encoder(images), encoder(images, patches=True)
        hidden = encoder.model(pixel_values=images).last_hidden_state
        other = encoder(torch.randn(2, 3, 24, 24))
    assert whole.shape == (2, WIDTH) and tokens.shape == (2, 1 + PATCHES, WIDTH)
    torch.testing.assert_close(tokens[:, 0], whole)
    # Patches come last in all families; class token and registers are not among them.
    torch.testing.assert_close(tokens[:, 1:], hidden[:, -PATCHES:])
    assert float((other - whole).abs().max()) > 1e-4


@pytest.mark.parametrize("patches", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_trained_parameter_gets_a_gradient(family: str, patches: bool) -> None:
    torch.manual_seed(0)
    encoder = VisionEncoder(tiny_architecture(family)).train()
    encoder(torch.randn(2, 3, 24, 24), patches=patches).square().sum().backward()
    no_gradient = [n for n, p in encoder.named_parameters() if p.requires_grad and p.grad is None]
    frozen = {n.removeprefix("model.") for n, p in encoder.named_parameters() if not p.requires_grad}
    assert no_gradient == [] and frozen == set(FAMILIES[family].unused)


@pytest.mark.parametrize("separate", mostly_slow([True, False], 1))
@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_is_complete_and_runs_without_the_hub(
    tmp_path: Path, family: str, separate: bool
) -> None:
    options = {"vision_encoder_family": family, "use_separate_rgb_encoder_per_camera": separate, "cameras": 2}
    folder = save(tmp_path / "c", **options)
    assert (folder / "vision" / "config.json").is_file() is (family != "clip")
    policy = load_policy(folder)
    expected = shaken_policy(policy.checkpoint.config).state_dict()
    stored = policy.module.state_dict()
    assert all(torch.equal(stored[name], tensor) for name, tensor in expected.items())
    assert sum(".patch_embed" in name and name.endswith("weight") for name in stored) == (
        2 if separate else 1
    )
    images, state = random_observation(policy.checkpoint.config)
    noise = np.zeros((policy.horizon, policy.action_dim), np.float32)
    swapped = {"cam0": images["cam1"], "cam1": images["cam0"]}
    chunks = []
    for view in (images, swapped):
        torch.manual_seed(0)
        chunks.append(policy.predict(view, state, TASKS[0], noise))
    assert np.isfinite(chunks[0]).all() and np.abs(chunks[0] - chunks[1]).max() > 1e-5


@pytest.mark.parametrize("conditioning", ["adaln", "cross_attention"])
@pytest.mark.parametrize("family", OTHER_FAMILIES)
def test_its_parameters_are_trained_as_a_group_of_their_own(family: str, conditioning: str) -> None:
    config = variant_config(vision_encoder_family=family, conditioning=conditioning)
    policy = shaken_policy(config).train()
    torch.manual_seed(0)
    batch = Batch(
        state=torch.randn(2, 2, 5),
        pooled_text=torch.randn(2, WIDTH),
        action=torch.rand(2, 8, 4),
        images=torch.randn(2, 2, 1, 3, 30, 40),
    )
    policy(batch).backward()
    vision, others = policy.vision_parameters(), policy.other_parameters()
    assert all(p.grad is not None for p in (*vision, *others))
    assert {id(p) for p in vision}.isdisjoint(map(id, others))
    encoder = policy.observation_encoder.first_vision_encoder
    assert encoder is not None and {id(p) for p in vision} == {
        id(p) for p in encoder.parameters() if p.requires_grad
    }


@pytest.mark.parametrize("conditioning", ["adaln", "joint"])
def test_precomputed_image_features_replace_images(conditioning: str) -> None:
    policy = shaken_policy(variant_config(cameras=2, conditioning=conditioning))
    torch.manual_seed(0)
    images = torch.randn(2, 2, 2, 3, 30, 40)
    batch = Batch(state=torch.randn(2, 2, 5), pooled_text=torch.randn(2, WIDTH), action=torch.rand(2, 8, 4))
    features = policy.observation_encoder.encode_images(images)
    losses = []
    for given in ({"images": images}, {"image_features": features}):
        torch.manual_seed(1)
        losses.append(float(policy(dataclasses.replace(batch, **given)).detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_image_sizes_that_each_family_accepts() -> None:
    for family in FAMILIES:
        architecture = tiny_architecture(family)
        assert image_size_error(architecture, (24, 24)) is None
        problem = image_size_error(architecture, (36, 24))
        if family.startswith("dino"):
            assert problem is None
            assert image_size_error(architecture, (30, 24)) == "it needs multiples of 12"
            encoder = VisionEncoder(architecture).eval()
            assert encoder(torch.randn(1, 3, 36, 24), patches=True).shape == (1, 7, WIDTH)
        else:
            assert problem == "it needs 24x24"


def test_the_vision_encoder_of_an_image_text_pair_is_read(tmp_path: Path) -> None:
    SiglipConfig(vision_config=tiny_architecture("siglip").to_dict()).save_pretrained(tmp_path)
    read = read_architecture("siglip", str(tmp_path), local_files_only=True)
    assert isinstance(read, SiglipVisionConfig) and read.hidden_size == WIDTH


def test_an_encoder_of_another_family_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "c", vision_encoder_family="dinov2")
    tiny_architecture("dinov3").save_pretrained(folder / "vision")
    with pytest.raises(CheckpointError, match=r"'dinov2', got model_type 'dinov3_vit'.*to 'dinov3'"):
        load_policy(folder)
    (folder / "vision" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match=r"got model_type 'bert'; known: clip, dinov2, "):
        load_policy(folder)


def test_a_wrong_image_size_and_a_missing_vision_config_are_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "c", vision_encoder_family="siglip")
    shutil.copytree(folder, tmp_path / "copy")
    tiny = tiny_architecture("siglip")
    tiny.image_size = 36
    tiny.save_pretrained(folder / "vision")
    with pytest.raises(CheckpointError, match="as 24x24 pixels, but it needs 36x36"):
        load_policy(folder)
    shutil.rmtree(tmp_path / "copy" / "vision")
    with pytest.raises(CheckpointError, match=r"vision/config.json if the vision encoder is not a CLIP"):
        load_policy(tmp_path / "copy")


def test_a_siglip_without_its_pooling_head_is_refused() -> None:
    architecture = tiny_architecture("siglip")
    architecture.vision_use_head = False
    with pytest.raises(
        CheckpointError, match="vision_use_head: expected true, got false; without its pooling head"
    ):
        VisionEncoder(architecture)


def test_crops_are_random_in_training_only() -> None:
    config = variant_config(
        image_resize_shape=None, image_crop_shape=(24, 24), vision_encoder_family="dinov3"
    )
    encoder = new_policy(config).observation_encoder
    image = torch.arange(30 * 40).float().view(1, 1, 30, 40).expand(1, 3, -1, -1)
    torch.manual_seed(0)
    encoder.train()
    assert len({float(encoder.resize_and_crop(image)[0, 0, 0, 0]) for _ in range(20)}) > 5
    encoder.eval()
    assert {float(encoder.resize_and_crop(image)[0, 0, 0, 0]) for _ in range(5)} == {3 * 40 + 8.0}


def test_the_default_family_is_clip() -> None:
    encoder = new_policy(variant_config()).observation_encoder.first_vision_encoder
    assert encoder is not None and isinstance(encoder.model.config, CLIPVisionConfig)
    assert new_policy(variant_config(cameras=0)).observation_encoder.first_vision_encoder is None

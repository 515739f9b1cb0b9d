# SPDX-License-Identifier: Apache-2.0
"""A new policy loads the pretrained encoders that its options name; here from folders."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_policy import TOKENS, tiny_tokenizer
from tiny_variants import WIDTH, tiny_architecture, variant_config
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel, SiglipTextConfig

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.checkpoint import pretrained_policy
from dit_policy_ros.policy.encoders import FAMILIES
from dit_policy_ros.training.new_policy._tiny_clip import tiny_text_config


@pytest.fixture(autouse=True)
def hub_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def published(family: str) -> Any:
    """A published model: CLIP and SigLIP with their text encoder, the others alone."""
    torch.manual_seed(9)
    architecture = tiny_architecture(family)
    if family == "clip":
        text = tiny_text_config(tiny_tokenizer().tokenizer, hidden=WIDTH, layers=1, positions=TOKENS)
        return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=architecture.to_dict()))
    if family == "siglip":
        small = {"hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": 1}
        words = SiglipTextConfig(**small, num_attention_heads=2, vocab_size=50)
        return SiglipModel(SiglipConfig(text_config=words.to_dict(), vision_config=architecture.to_dict()))
    return FAMILIES[family].model(architecture)


def save(family: str, folder: Path) -> Path:
    published(family).save_pretrained(folder)
    if family == "clip":
        tiny_tokenizer().tokenizer.save_pretrained(folder)
    return folder


def config_for(tmp_path: Path, family: str, **options: Any) -> Any:
    vision = save(family, tmp_path / family)
    text = vision if family == "clip" else save("clip", tmp_path / "clip")
    return variant_config(
        vision_encoder_family=family,
        vision_encoder_name=str(vision),
        text_encoder_name=str(text),
        **options,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_encoder_of_every_camera_gets_the_published_weights(
    tmp_path: Path, family: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_for(tmp_path, family, cameras=2, use_separate_rgb_encoder_per_camera=True)
    policy, tokenizer = pretrained_policy(config)
    source = published(family)
    vision = getattr(source, "vision_model", source).state_dict()
    for encoder in policy.observation_encoder.vision_encoders or ():
        state = encoder.model.state_dict()
        assert set(state) == set(vision) and all(torch.equal(state[name], vision[name]) for name in state)
    words = published("clip").text_model.state_dict()
    for name, tensor in policy.observation_encoder.text_encoder.text_encoder.state_dict().items():
        assert torch.equal(tensor, words[name]), name
    assert "LOAD REPORT" not in caplog.text, "an unused text encoder must not be reported"
    assert tokenizer.options.max_length == config.tokenizer_max_length
    assert not any(p.requires_grad for p in policy.observation_encoder.text_encoder.text_encoder.parameters())


def test_the_same_seed_makes_the_same_policy(tmp_path: Path) -> None:
    config = config_for(tmp_path, "dinov2", conditioning="joint")
    states = []
    for _ in range(2):
        torch.manual_seed(1)
        states.append(pretrained_policy(config)[0].state_dict())
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    config = config_for(tmp_path, "siglip")
    path = Path(config.vision_encoder_name) / "model.safetensors"
    tensors = {n: t for n, t in load_file(path).items() if not n.startswith("vision_model.head")}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks \d+ tensors of SiglipVisionModel, first .*head"):
        pretrained_policy(config)


def test_an_encoder_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    config = config_for(tmp_path, "dinov3")
    absent = variant_config(
        vision_encoder_family="dinov3",
        vision_encoder_name="nobody/dinov3-tiny",
        text_encoder_name=config.text_encoder_name,
    )
    with pytest.raises(CheckpointError, match=r"vision encoder's config\.json from 'nobody/dinov3-tiny'"):
        pretrained_policy(absent)
    (Path(config.vision_encoder_name) / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="new policy: cannot load weights from"):
        pretrained_policy(config)

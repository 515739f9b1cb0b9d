# SPDX-License-Identifier: Apache-2.0
"""Checkpoints with our own options: complete, and refused by LeRobot instead of loaded wrongly."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_policy import TASKS, random_observation, tiny_config
from tiny_variants import TOKEN_CONDITIONINGS, shaken_policy, variant_config
from tiny_variants import save as save_variant

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import read_checkpoint, relocate
from dit_policy_ros.policy.config import EXTENDED_TYPE, EXTENSIONS, POLICY_TYPE, PolicyConfig

VARIANTS: dict[str, dict[str, Any]] = {
    **{name: {"conditioning": name} for name in TOKEN_CONDITIONINGS},
    "pooled tokens": {"conditioning": "cross_attention", "image_tokens": "pooled"},
    "absolute positions": {"conditioning": "joint", "use_rope": False, "use_positional_encoding": True},
    "no camera": {"conditioning": "in_context", "cameras": 0},
    "flow": {"conditioning": "joint", "objective": "flow_matching", "vision_encoder_family": "dinov2"},
    "siglip": {"vision_encoder_family": "siglip"},
    "fusion MLP": {"observation_layers": 2},
    "state differences": {"state_differences": 30.0},
    "newest images": {"image_steps": 1, "n_obs_steps": 2},
}


@pytest.fixture(autouse=True)
def hub_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def save(folder: Path, **options: Any) -> Path:
    return save_variant(folder, num_inference_steps=3, num_integration_steps=3, **options)


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_variant_is_written_read_and_runs(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = save(tmp_path / "c", **options)
    checkpoint = read_checkpoint(folder)
    assert {name: getattr(checkpoint.config, name) for name in options if name != "cameras"} == {
        name: value for name, value in options.items() if name != "cameras"
    }
    policy = load_policy(folder)
    images, state = random_observation(policy.checkpoint.config)
    torch.manual_seed(4)
    chunk = policy.predict(images, state, TASKS[0])
    assert np.isfinite(chunk).all()
    # The network that was written, without going through a file, gives the same.
    source = shaken_policy(policy.checkpoint.config).state_dict()
    policy.module.load_state_dict(source)
    torch.manual_seed(4)
    np.testing.assert_array_equal(policy.predict(images, state, TASKS[0]), chunk)
    assert all(str(value) in policy.description for value in checkpoint.config.extensions.values())


def test_a_default_config_has_none_of_our_options() -> None:
    mapping = tiny_config().to_mapping()
    assert mapping["type"] == POLICY_TYPE and not set(EXTENSIONS) & set(mapping)


def test_a_default_config_is_what_lerobot_writes(tmp_path: Path) -> None:
    pytest.importorskip("lerobot", reason="lerobot is not installed: nothing to compare with")
    from lerobot.configs import PreTrainedConfig
    from lerobot.policies.multi_task_dit.configuration_multi_task_dit import MultiTaskDiTConfig

    folder = save(tmp_path / "ours")
    theirs = PreTrainedConfig.from_pretrained(folder)
    assert isinstance(theirs, MultiTaskDiTConfig)
    (tmp_path / "theirs").mkdir()
    theirs._save_pretrained(tmp_path / "theirs")
    ours, read = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("ours", "theirs"))
    assert ours == read


@pytest.mark.parametrize("options", [{"conditioning": "joint"}, {"vision_encoder_family": "dinov2"}])
def test_lerobot_alone_refuses_an_extended_checkpoint(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lerobot", reason="lerobot is not installed: nothing to refuse")
    from lerobot.configs import PreTrainedConfig
    from lerobot.policies.multi_task_dit.configuration_multi_task_dit import MultiTaskDiTConfig

    folder = save(tmp_path / "c", **options)
    alone = {
        name: kind for name, kind in PreTrainedConfig.get_known_choices().items() if name != EXTENDED_TYPE
    }
    monkeypatch.setattr(PreTrainedConfig, "_choice_registry", alone)
    assert MultiTaskDiTConfig in PreTrainedConfig.get_known_choices().values()
    with pytest.raises(ValueError, match=rf"Policy type '{EXTENDED_TYPE}'.* is not registered"):
        PreTrainedConfig.from_pretrained(folder)


def test_the_writer_says_what_lerobot_needs_and_relocate_refuses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        save(tmp_path / "plain")
        assert "LeRobot" not in caplog.text
        folder = save(tmp_path / "c", conditioning="joint", vision_encoder_family="siglip")
    assert (
        f"{folder}: LeRobot alone has no conditioning 'joint', vision_encoder_family 'siglip'" in caplog.text
    )
    before = (folder / "config.json").read_bytes()
    with pytest.raises(CheckpointError, match=r"installed beside it.*nothing to relocate"):
        relocate(folder)
    assert (folder / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"conditioning": "film"},
            "conditioning: expected 'adaln' or 'cross_attention' or 'in_context' or 'joint', got 'film'",
        ),
        ({"vision_encoder_family": "vgg"}, "vision_encoder_family: expected 'clip' or 'dinov2' or"),
        ({"image_tokens": 4}, "image_tokens: expected 'all' or 'pooled', got 4"),
        ({"conditionning": "joint"}, "unknown option 'conditionning'; valid options: "),
        (
            {"conditioning": "adaln", "image_tokens": "pooled"},
            "image_tokens: expected 'all' with conditioning 'adaln'",
        ),
        ({"observation_layers": 2}, "observation_layers: expected 0 unless conditioning is 'adaln'"),
        ({"state_differences": -1.0}, "state_differences: expected 0 (off) or more, got -1"),
        ({"attended_features": 8}, "attended_features: expected 0 unless image_pooling is 'attention'"),
        ({"heads_per_camera": True}, "heads_per_camera: expected false unless image_pooling is 'attention'"),
        (
            {"observation_width": 64},
            "observation_width: expected 0 (hidden_dim), or more with observation_layers",
        ),
        ({"image_skip": True}, "image_skip: expected false without observation_layers or cameras, got True"),
        ({"image_blur": -0.5}, "image_blur: expected 0 (off) to 8, got -0.5"),
        ({"image_steps": 3}, "image_steps: expected 0 (all) to n_obs_steps (2), got 3"),
        ({"observation_layers": -1}, "observation_layers: expected 0 (none) or more, got -1"),
        ({"vision_encoder_lr_multiplier": -0.1}, "vision_encoder_lr_multiplier: expected 0 (frozen) or more"),
        (
            {"type": POLICY_TYPE},
            "'attended_features', 'conditioning', 'heads_per_camera', 'image_blur', 'image_pooling', "
            "'image_skip', 'image_steps', 'image_tokens', 'observation_layers', 'observation_width', "
            "'relative_entries', 'state_differences', 'state_features', 'text_encoder_family', "
            "'text_tokens', 'trained_delay', 'unified_slots', 'vision_encoder_family', "
            "'vision_stride': LeRobot's 'multi_task_dit' has",
        ),
    ],
)
def test_an_invalid_option_is_refused(change: dict[str, Any], expected: str) -> None:
    mapping = {**variant_config(conditioning="joint").to_mapping(), **change}
    with pytest.raises(CheckpointError, match=r"config\.json") as raised:
        PolicyConfig.from_mapping(mapping, "config.json")
    assert expected in str(raised.value)


def test_another_vision_encoder_family_needs_a_camera() -> None:
    mapping = variant_config(conditioning="joint", vision_encoder_family="dinov2", cameras=0).to_mapping()
    with pytest.raises(
        CheckpointError, match="vision_encoder_family: expected 'clip' for a policy without cameras"
    ):
        PolicyConfig.from_mapping(mapping, "config.json")


def test_weights_of_another_conditioning_do_not_load(tmp_path: Path) -> None:
    folder = save(tmp_path / "c", conditioning="in_context")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "conditioning": "cross_attention"}))
    with pytest.raises(CheckpointError, match=r"missing tensor .*\.cross\."):
        load_policy(folder)

# SPDX-License-Identifier: Apache-2.0
"""The same weights, observation and seed give the same chunk and the same loss here and in LeRobot."""

import dataclasses
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_policy import (
    ACTION_DIM,
    STATE_DIM,
    TASKS,
    random_observation,
    save_tiny,
    tiny_config,
    tiny_tokenizer,
)

from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import read_checkpoint
from dit_policy_ros.policy.checkpoint_writer import relocate
from dit_policy_ros.policy.config import IMAGE_PREFIX, NormalizationMode, PolicyConfig
from dit_policy_ros.policy.dit_policy import Batch

TOLERANCE = 1e-5  # normalised units


@pytest.fixture(scope="module")
def lerobot() -> SimpleNamespace:
    """LeRobot's own classes; importing them takes seconds and changes logging."""
    pytest.importorskip("lerobot", reason="lerobot is not installed: parity cannot be tested")
    handlers, level = logging.root.handlers[:], logging.root.level
    from lerobot.configs import PreTrainedConfig
    from lerobot.policies.factory import make_pre_post_processors
    from lerobot.policies.multi_task_dit.modeling_multi_task_dit import MultiTaskDiTPolicy

    logging.root.handlers[:], logging.root.level = handlers, level
    return SimpleNamespace(
        Config=PreTrainedConfig, Policy=MultiTaskDiTPolicy, processors=make_pre_post_processors
    )


@pytest.fixture(autouse=True)
def hub_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def load_theirs(lerobot: SimpleNamespace, folder: Path) -> tuple[Any, Any, Any]:
    """LeRobot's policy, preprocessor and postprocessor of a checkpoint that we wrote."""
    relocate(folder)
    config = lerobot.Config.from_pretrained(folder)
    policy = lerobot.Policy.from_pretrained(folder, config=config, strict=True).eval()
    before, after = lerobot.processors(config, pretrained_path=str(folder))
    return policy, before, after


def their_batch(before: Any, images: dict[str, np.ndarray], state: np.ndarray, task: str) -> dict[str, Any]:
    """One observation history (S, ...) through LeRobot's preprocessor, with a batch axis."""
    frame = {
        IMAGE_PREFIX + n: torch.from_numpy(i).permute(0, 3, 1, 2)[None].float() / 255
        for n, i in images.items()
    }
    frame["observation.state"] = torch.from_numpy(state)[None]
    return before({**frame, "task": [task]})


GRID: dict[str, dict[str, Any]] = {
    "ddpm epsilon": {},
    "ddpm 10 of 20": {"num_inference_steps": 10},
    "ddpm sample, linear, unclipped": {
        "prediction_type": "sample",
        "beta_schedule": "linear",
        "clip_sample": False,
    },
    "ddpm sigmoid": {"beta_schedule": "sigmoid"},
    "ddim": {"noise_scheduler_type": "DDIM", "num_inference_steps": 5},
    "ddim sample, scaled": {
        "noise_scheduler_type": "DDIM",
        "prediction_type": "sample",
        "beta_schedule": "scaled_linear",
        "num_inference_steps": 7,
        "clip_sample_range": 0.7,
    },
    "flow euler": {"objective": "flow_matching"},
    "flow rk4 uniform": {
        "objective": "flow_matching",
        "integration_method": "rk4",
        "timestep_sampling_strategy": "uniform",
        "sigma_min": 0.01,
    },
    "absolute positions": {"use_rope": False, "use_positional_encoding": True},
    "separate encoders, 2 cameras": {"cameras": 2, "use_separate_rgb_encoder_per_camera": True},
    "3 cameras, 3 steps": {"cameras": 3, "n_obs_steps": 3},
    "no camera, 1 step": {"cameras": 0, "n_obs_steps": 1},
    "resize and crop": {"image_resize_shape": (27, 33), "image_crop_shape": (24, 24)},
    "crop only, fixed": {
        "image_resize_shape": None,
        "image_crop_shape": (24, 24),
        "image_crop_is_random": False,
    },
    "crop larger than the image": {"image_crop_shape": (64, 64)},
    "quantiles": {
        "normalization_mapping": {
            "VISUAL": NormalizationMode.IDENTITY,
            "STATE": NormalizationMode.QUANTILES,
            "ACTION": NormalizationMode.QUANTILE10,
        }
    },
    "mean and std": {
        "normalization_mapping": {
            "VISUAL": NormalizationMode.MIN_MAX,
            "STATE": NormalizationMode.MEAN_STD,
            "ACTION": NormalizationMode.MEAN_STD,
        }
    },
    "left padding to the longest": {"tokenizer_padding": "longest", "tokenizer_padding_side": "left"},
    "padding masked": {"do_mask_loss_for_padding": True},
}


@pytest.mark.parametrize("options", GRID.values(), ids=GRID.keys())
def test_same_chunk_and_same_loss(
    lerobot: SimpleNamespace, tmp_path: Path, options: dict[str, Any], record_property: Any
) -> None:
    config = tiny_config(**options)
    theirs, before, after = load_theirs(lerobot, save_tiny(tmp_path / "ours", config))
    ours = load_policy(tmp_path / "ours")

    images, state = random_observation(config)
    batch = their_batch(before, images, state, TASKS[1])
    if config.image_features:
        batch["observation.images"] = torch.stack([batch[k] for k in config.image_features], dim=-4)
    torch.manual_seed(7)
    with torch.no_grad():
        expected = theirs._generate_actions(batch)  # (1, n_action_steps, A), normalised
    torch.manual_seed(7)
    with torch.inference_mode():
        sampled = ours.module.sample(ours.observe(images, state, TASKS[1]))
    first = config.n_obs_steps - 1
    sampled = sampled[:, first : first + config.n_action_steps]
    difference = float((sampled - expected).abs().max())
    record_property("max_abs_difference", difference)
    assert expected.std() > 0.01, "the comparison would be empty"
    assert difference < TOLERANCE

    torch.manual_seed(7)
    chunk = ours.predict(images, state, TASKS[1])
    robot_units = after(expected)[0].numpy()
    np.testing.assert_allclose(chunk[: config.n_action_steps], robot_units, atol=TOLERANCE * 5)
    assert_same_loss(theirs, before, config, tmp_path / "ours")


def assert_same_loss(theirs: Any, before: Any, config: PolicyConfig, folder: Path) -> None:
    checkpoint = read_checkpoint(folder)
    rng = np.random.default_rng(3)
    batch_size, tasks = 3, [TASKS[0], TASKS[1], TASKS[0]]
    observations = [random_observation(config, seed) for seed in range(batch_size)]
    action = torch.from_numpy(
        rng.uniform(-0.5, 0.5, (batch_size, config.horizon, ACTION_DIM)).astype(np.float32)
    )
    is_pad = torch.arange(config.horizon)[None] >= torch.tensor([[3], [8], [6]])
    images = {
        IMAGE_PREFIX + name: torch.stack([torch.from_numpy(o[0][name]) for o in observations]).permute(
            0, 1, 4, 2, 3
        )
        for name in observations[0][0]
    }
    images = {key: value.float() / 255 for key, value in images.items()}
    state = torch.stack([torch.from_numpy(o[1]) for o in observations])
    assert state.shape == (batch_size, config.n_obs_steps, STATE_DIM)
    frame = {**images, "observation.state": state, "action": action, "action_is_pad": is_pad, "task": tasks}
    torch.manual_seed(11)
    expected, _ = theirs.train()(before(dict(frame)))

    policy, scale = checkpoint.policy.train(), checkpoint.processors
    scaled = [scale.images[key].normalize(value) for key, value in images.items()]
    ours = Batch(
        state=scale.state.normalize(state),
        pooled_text=policy.observation_encoder.text_encoder.pool(*checkpoint.clip.tokenizer(tasks)),
        action=scale.action.normalize(action),
        action_is_pad=is_pad,
        images=torch.stack(scaled, dim=2) if scaled else None,
    )
    torch.manual_seed(11)
    loss = policy(ours)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)
    expected.backward()
    loss.backward()
    theirs_by_name = dict(theirs.named_parameters())
    for name, parameter in policy.named_parameters():
        if parameter.requires_grad and theirs_by_name[name].grad is not None:
            assert parameter.grad is not None, name
            torch.testing.assert_close(
                parameter.grad, theirs_by_name[name].grad, rtol=1e-3, atol=1e-5, msg=name
            )


def test_a_checkpoint_that_lerobot_saved_loads_here(lerobot: SimpleNamespace, tmp_path: Path) -> None:
    config = dataclasses.replace(tiny_config(), num_inference_steps=4)
    theirs, before, after = load_theirs(lerobot, save_tiny(tmp_path / "ours", config))
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.mul_(1.1)
    saved = tmp_path / "theirs"
    theirs.save_pretrained(saved)
    before.save_pretrained(saved)
    after.save_pretrained(saved)
    (saved / "config.json").stat()
    assert not (saved / "clip").exists()  # LeRobot names our folder by its path instead

    images, state = random_observation(config)
    ours = load_policy(saved)
    assert ours.fps is None and ours.joint_names is None and ours.known_tasks == ()
    batch = their_batch(before, images, state, TASKS[0])
    batch["observation.images"] = torch.stack([batch[k] for k in config.image_features], dim=-4)
    torch.manual_seed(5)
    with torch.no_grad():
        expected = after(theirs.eval()._generate_actions(batch))[0].numpy()
    torch.manual_seed(5)
    np.testing.assert_allclose(ours.predict(images, state, TASKS[0])[:5], expected, atol=TOLERANCE * 5)


def test_same_tokens_as_lerobot(lerobot: SimpleNamespace, tmp_path: Path) -> None:
    _, before, _ = load_theirs(lerobot, save_tiny(tmp_path / "ours"))
    images, state = random_observation(tiny_config())
    batch = their_batch(before, images, state, "Touch  the GREEN cube, please!")
    ids, mask = tiny_tokenizer()(["Touch  the GREEN cube, please!"])
    assert torch.equal(batch["observation.language.tokens"], ids)
    assert torch.equal(batch["observation.language.attention_mask"], mask)

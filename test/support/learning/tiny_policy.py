# SPDX-License-Identifier: Apache-2.0
"""Makes tiny policies and checkpoints: random weights, own tokenizer, no hub."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.core.lerobot_keys import camera_names
from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.config import Feature, FeatureType, PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import TaskTokenizer, TokenizerOptions
from dit_policy_ros.training.new_policy._tiny_clip import (
    tiny_text_config,
    tiny_vision_config,
    train_tokenizer,
)

TASKS = ("touch the red cube with the left arm", "touch the blue cube with the right arm")
STATE_DIM, ACTION_DIM = 5, 4
IMAGE = (30, 40)  # height, width [pixel]
SIDE = 24  # image size of the vision encoder [pixel]
TOKENS = 16


def tiny_config(cameras: int = 1, **options: Any) -> PolicyConfig:
    """The options of a network small enough to run in milliseconds."""
    images = {f"observation.images.cam{i}": Feature(FeatureType.VISUAL, (3, *IMAGE)) for i in range(cameras)}
    defaults: dict[str, Any] = {
        "input_features": {**images, "observation.state": Feature(FeatureType.STATE, (STATE_DIM,))},
        "output_features": {"action": Feature(FeatureType.ACTION, (ACTION_DIM,))},
        "horizon": 8,
        "n_action_steps": 5,
        "hidden_dim": 32,
        "num_layers": 2,
        "num_heads": 2,
        "timestep_embed_dim": 16,
        "num_train_timesteps": 20,
        "num_integration_steps": 5,
        "image_resize_shape": (SIDE, SIDE),
        "image_crop_shape": None,
        "tokenizer_max_length": TOKENS,
        "vision_encoder_name": "clip",
        "text_encoder_name": "clip",
        "device": "cpu",
    }
    return PolicyConfig(**(defaults | options))


@functools.cache
def tiny_tokenizer() -> TaskTokenizer:
    """A tokenizer trained on the tests' tasks."""
    return TaskTokenizer(train_tokenizer(TASKS, vocabulary=600), TokenizerOptions(max_length=TOKENS))


def random_policy(config: PolicyConfig, seed: int = 0) -> DiTPolicy:
    """A policy whose weights are all random, including the adaLN gates; in evaluation mode."""
    torch.manual_seed(seed)
    vision = tiny_vision_config(hidden=16, layers=2, heads=2, image=SIDE, patch=12)
    text = tiny_text_config(tiny_tokenizer().tokenizer, hidden=16, layers=1, positions=TOKENS)
    policy = DiTPolicy(config, vision, text)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return policy.eval()


def random_stats(config: PolicyConfig, seed: int = 0) -> dict[str, dict[str, Tensor]]:
    """All statistics of all features, with low < high."""
    generator = torch.Generator().manual_seed(seed)
    parts = {"min": 0.0, "q01": 0.05, "q10": 0.15, "mean": 0.5, "q90": 0.85, "q99": 0.95, "max": 1.0}
    stats: dict[str, dict[str, Tensor]] = {}
    for key, feature in {**config.input_features, **config.output_features}.items():
        shape = (3, 1, 1) if feature.type is FeatureType.VISUAL else feature.shape
        low = torch.rand(shape, generator=generator) * 0.4 - 0.5
        span = torch.rand(shape, generator=generator) + 0.5
        stats[key] = {name: low + part * span for name, part in parts.items()} | {"std": span / 4}
    return stats


def save_tiny(folder: Path, config: PolicyConfig | None = None, known_tasks: tuple[str, ...] = TASKS) -> Path:
    """Write a complete checkpoint of a random tiny policy."""
    config = config or tiny_config()
    facts = CheckpointFacts(
        fps=30.0,
        joint_names=_joints(config.state_parts["observation.state"]),
        action_names=_joints(config.action_dim),
        vector_names={key: _entries(key, config) for key in config.state_features},
        known_tasks=known_tasks,
    )
    return write_checkpoint(folder, random_policy(config), random_stats(config), facts, tiny_tokenizer())


def _joints(count: int) -> tuple[str, ...]:
    """Names of joints: a, b, c, d, e, joint_5, joint_6, ..."""
    return (*"abcde"[:count], *(f"joint_{index}" for index in range(5, count)))


def _entries(key: str, config: PolicyConfig) -> tuple[str, ...]:
    """Names of a further vector's entries: x0, x1, ..."""
    return tuple(f"x{index}" for index in range(config.state_parts[key]))


def random_observation(
    config: PolicyConfig, seed: int = 0
) -> tuple[dict[str, NDArray[np.uint8]], NDArray[np.float32]]:
    """Images by camera, uint8 (S, H, W, 3), and states float32 (S, D)."""
    rng = np.random.default_rng(seed)
    steps = config.n_obs_steps
    images = {
        name: rng.integers(0, 256, (steps, *config.image_features[key].shape[1:], 3), dtype=np.uint8)
        for key, name in camera_names(config.image_features).items()
    }
    return images, rng.uniform(-0.5, 0.5, (steps, config.state_dim)).astype(np.float32)

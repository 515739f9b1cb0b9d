# SPDX-License-Identifier: Apache-2.0
"""Tiny policies of every kind, including encoders and conditionings that LeRobot does not have."""

from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from tiny_policy import (
    SIDE,
    TASKS,
    TOKENS,
    random_observation,
    random_stats,
    tiny_config,
    tiny_tokenizer,
)

from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.encoders import FAMILIES, VisionConfig
from dit_policy_ros.policy.inference import DiTRuntime
from dit_policy_ros.training.new_policy._tiny_clip import tiny_text_config

PATCH = 12
PATCHES = (SIDE // PATCH) ** 2
WIDTH = 16
CONDITIONINGS = ("adaln", "cross_attention", "in_context", "joint")
TOKEN_CONDITIONINGS = CONDITIONINGS[1:]
DDIM = {"noise_scheduler_type": "DDIM", "num_inference_steps": 4}
FLOW = {"objective": "flow_matching"}
VARIANTS: tuple[dict[str, Any], ...] = (
    *({"conditioning": c, "image_tokens": "all"} | DDIM for c in CONDITIONINGS),
    {"conditioning": "cross_attention", "image_tokens": "pooled"} | FLOW,
    {},
    {"prediction_type": "sample"},
    DDIM | {"prediction_type": "sample", "clip_sample_range": 0.5},
    FLOW,
    FLOW | {"integration_method": "rk4", "sigma_min": 0.1},
    {"cameras": 3, "use_separate_rgb_encoder_per_camera": True, "n_obs_steps": 3},
    {"cameras": 0, "n_obs_steps": 1},
    {"use_rope": False, "use_positional_encoding": True},
    {"use_rope": False},
    {"observation_layers": 2, "cameras": 2} | DDIM,
    {"use_positional_encoding": True, "hidden_dim": 24, "num_heads": 3, "num_layers": 3},
    *({"vision_encoder_family": f, "cameras": 2} | DDIM for f in ("dinov2", "dinov3", "siglip")),
)
"""Options that together cover all parts of the networks and the samplers."""


def variant_name(options: object) -> str:
    """The name of one of VARIANTS in a test report."""
    return " ".join(map(str, options.values())) if isinstance(options, dict) else str(options)


def tiny_architecture(family: str) -> VisionConfig:
    """A two-layer vision transformer for images of SIDE pixels, in PATCHES patches."""
    options: dict[str, Any] = {
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": PATCH,
    }
    options |= {"mlp_ratio": 2} if family.startswith("dinov2") else {"intermediate_size": 2 * WIDTH}
    if family in ("dinov2_with_registers", "dinov3"):
        options["num_register_tokens"] = 3
    return FAMILIES[family].config(**options)


def variant_config(**options: Any) -> PolicyConfig:
    """As ``tiny_config``, with a vision encoder name that fits its family."""
    family = options.get("vision_encoder_family", "clip")
    return tiny_config(**({"vision_encoder_name": family} | options))


def new_policy(config: PolicyConfig, seed: int = 0) -> DiTPolicy:
    """A freshly initialised policy."""
    torch.manual_seed(seed)
    text = tiny_text_config(tiny_tokenizer().tokenizer, hidden=WIDTH, layers=1, positions=TOKENS)
    return DiTPolicy(config, tiny_architecture(config.vision_encoder_family), text)


def shaken_policy(config: PolicyConfig, seed: int = 0) -> DiTPolicy:
    """A policy whose weights are all random, including the adaLN gates; in evaluation mode."""
    policy = new_policy(config, seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return policy.eval()


def save(folder: Path, **options: Any) -> Path:
    """Write a checkpoint whose weights are all random, including the adaLN gates."""
    config = variant_config(**options)
    facts = CheckpointFacts(fps=30.0, known_tasks=TASKS, instruction_dropout=0.1)
    return write_checkpoint(folder, shaken_policy(config), random_stats(config), facts, tiny_tokenizer())


def infer(policy: DiTRuntime, observation: int = 0, task: str = TASKS[0], seed: int = 5) -> NDArray:
    """A chunk for random input; ``seed`` determines the sampling noise."""
    images, state = random_observation(policy.checkpoint.config, observation)
    torch.manual_seed(seed)
    return policy.predict(images, state, task)

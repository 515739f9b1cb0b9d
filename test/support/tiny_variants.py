# SPDX-License-Identifier: Apache-2.0
"""Tiny policies with other vision encoders and conditionings than LeRobot has."""

from typing import Any

import torch
from tiny_policy import SIDE, TOKENS, tiny_config, tiny_tokenizer

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.vision import FAMILIES, VisionConfig
from dit_policy_ros.training.tiny_clip import tiny_text_config

PATCH = 12
PATCHES = (SIDE // PATCH) ** 2
WIDTH = 16
CONDITIONINGS = ("adaln", "cross_attention", "in_context", "joint")
TOKEN_CONDITIONINGS = CONDITIONINGS[1:]


def tiny_architecture(family: str) -> VisionConfig:
    """Two layers of a vision transformer that reads SIDE pixels in PATCHES patches."""
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
    """As ``tiny_config``; another family of encoders is named accordingly."""
    family = options.get("vision_encoder_family", "clip")
    return tiny_config(**({"vision_encoder_name": family} | options))


def new_policy(config: PolicyConfig, seed: int = 0) -> DiTPolicy:
    """A freshly initialised policy."""
    torch.manual_seed(seed)
    text = tiny_text_config(tiny_tokenizer().tokenizer, hidden=WIDTH, layers=1, positions=TOKENS)
    return DiTPolicy(config, tiny_architecture(config.vision_encoder_family), text)


def shaken_policy(config: PolicyConfig, seed: int = 0) -> DiTPolicy:
    """A policy whose weights are random everywhere, gates included; in evaluation mode."""
    policy = new_policy(config, seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return policy.eval()

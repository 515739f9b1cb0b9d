# SPDX-License-Identifier: Apache-2.0
"""LeRobot's default model: ViT-B/16, two cameras, two observation steps, horizon 32, 14 joints."""

import torch
from transformers import CLIPVisionConfig

from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.policy.config import Feature, FeatureType, PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy


def default_config() -> PolicyConfig:
    """The policy's configuration."""
    images = {f"{IMAGE_PREFIX}cam{i}": Feature(FeatureType.VISUAL, (3, 240, 320)) for i in range(2)}
    return PolicyConfig(
        input_features={**images, STATE_KEY: Feature(FeatureType.STATE, (14,))},
        output_features={ACTION_KEY: Feature(FeatureType.ACTION, (14,))},
        device="cpu",
    )


def default_vision() -> CLIPVisionConfig:
    """The vision encoder's architecture."""
    return CLIPVisionConfig(patch_size=16)  # the rest of ViT-B/16 is the class's default


def open_gates(policy: DiTPolicy) -> None:
    """Give the modulation random weights. New layers return their input unchanged, which measures nothing."""
    with torch.no_grad():
        for name, parameter in policy.noise_predictor.named_parameters():
            if ".adaLN_modulation." in name:
                parameter.normal_(std=0.02)

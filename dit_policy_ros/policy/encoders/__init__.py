# SPDX-License-Identifier: Apache-2.0
"""Encode images, states and the instruction into the observation that conditions the transformer.

Vision transformers, CLIP's text encoder, and the modules that combine their features.
"""

from dit_policy_ros.policy.encoders._fusion import FusionMLP
from dit_policy_ros.policy.encoders._observation_encoder import ObservationEncoder, TextEncoder
from dit_policy_ros.policy.encoders._vision import (
    FAMILIES,
    VisionConfig,
    VisionEncoder,
    image_size_error,
    read_architecture,
)

__all__ = [
    "FAMILIES",
    "FusionMLP",
    "ObservationEncoder",
    "TextEncoder",
    "VisionConfig",
    "VisionEncoder",
    "image_size_error",
    "read_architecture",
]

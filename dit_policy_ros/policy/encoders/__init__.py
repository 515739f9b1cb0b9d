# SPDX-License-Identifier: Apache-2.0
"""Encode images, states and the instruction into the observation that conditions the transformer.

Vision transformers and CNNs, CLIP's and sentence encoders, and the modules that combine their features.
"""

from dit_policy_ros.policy.encoders._cnn import CnnConfig, shortened
from dit_policy_ros.policy.encoders._columns import Part, conditioning_parts, places, vector_parts
from dit_policy_ros.policy.encoders._fusion import FusionMLP
from dit_policy_ros.policy.encoders._observation_encoder import ObservationEncoder
from dit_policy_ros.policy.encoders._packaged import (
    EFFICIENTNET_LITE0,
    MINILM,
    PACKAGED,
    packaged_folder,
    packaged_image_statistics,
    packaged_place,
    packaged_weights,
)
from dit_policy_ros.policy.encoders._text import (
    TextConfig,
    TextEncoder,
    read_text_architecture,
    text_positions,
)
from dit_policy_ros.policy.encoders._vision import (
    ALL_FAMILIES,
    CNN_FAMILIES,
    FAMILIES,
    VisionConfig,
    VisionEncoder,
    image_size_error,
    read_architecture,
)

__all__ = [
    "ALL_FAMILIES",
    "CNN_FAMILIES",
    "EFFICIENTNET_LITE0",
    "FAMILIES",
    "MINILM",
    "PACKAGED",
    "CnnConfig",
    "FusionMLP",
    "ObservationEncoder",
    "Part",
    "TextConfig",
    "TextEncoder",
    "VisionConfig",
    "VisionEncoder",
    "conditioning_parts",
    "image_size_error",
    "packaged_folder",
    "packaged_image_statistics",
    "packaged_place",
    "packaged_weights",
    "places",
    "read_architecture",
    "read_text_architecture",
    "shortened",
    "text_positions",
    "vector_parts",
]

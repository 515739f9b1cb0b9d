# SPDX-License-Identifier: Apache-2.0
"""From images, state and instruction to what conditions the transformer.

CLIP-like vision and text encoders, and the MLP that fuses their features.
"""

from dit_policy_ros.policy.encoders._encoders import ObservationEncoder, TextEncoder
from dit_policy_ros.policy.encoders._vision import (
    FAMILIES,
    VisionConfig,
    VisionEncoder,
    read_architecture,
    size_problem,
)

__all__ = [
    "FAMILIES",
    "ObservationEncoder",
    "TextEncoder",
    "VisionConfig",
    "VisionEncoder",
    "read_architecture",
    "size_problem",
]

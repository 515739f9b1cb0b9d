# SPDX-License-Identifier: Apache-2.0
"""The policy that a training run starts with.

A new one with pretrained encoders, a small one from scratch, or that of a checkpoint.
"""

from dit_policy_ros.training.new_policy._new_policy import (
    InitialPolicy,
    check_reachable,
    image_read_size,
    initial_policy,
    relative_entries,
)
from dit_policy_ros.training.new_policy._small_policy import (
    IMAGE_SIDE,
    RESIZED,
    build_demo_policy,
    demo_config,
    demo_vision_encoder,
)

__all__ = [
    "IMAGE_SIDE",
    "RESIZED",
    "InitialPolicy",
    "build_demo_policy",
    "check_reachable",
    "demo_config",
    "demo_vision_encoder",
    "image_read_size",
    "initial_policy",
    "relative_entries",
]

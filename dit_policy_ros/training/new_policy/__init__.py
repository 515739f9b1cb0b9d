# SPDX-License-Identifier: Apache-2.0
"""The policy that a training run starts with.

A new one with pretrained encoders, a small one from scratch, or a checkpoint's.
"""

from dit_policy_ros.training.new_policy._new_policy import (
    Start,
    check_reachable,
    reading_size,
    relative_entries,
    start_of,
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
    "Start",
    "build_demo_policy",
    "check_reachable",
    "demo_config",
    "demo_vision_encoder",
    "reading_size",
    "relative_entries",
    "start_of",
]

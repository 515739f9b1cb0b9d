# SPDX-License-Identifier: Apache-2.0
"""The policy that a training run starts with.

A new one with pretrained encoders, a small one from scratch, that of a checkpoint, or that of another robot's
checkpoint with new layers for joints and cameras.
"""

from dit_policy_ros.training.new_policy._adapt import Adaptation, adapted_config
from dit_policy_ros.training.new_policy._initial import (
    InitialPolicy,
    encoder_image_statistics,
    image_read_size,
    initial_policy,
)
from dit_policy_ros.training.new_policy._new_policy import (
    DataShape,
    check_new_policy,
    check_reachable,
    new_policy_config,
    relative_entries,
)
from dit_policy_ros.training.new_policy._same_robot import check_described, check_same_robot
from dit_policy_ros.training.new_policy._small_policy import (
    IMAGE_SIDE,
    RESIZED,
    build_demo_policy,
    demo_config,
    demo_vision_encoder,
)
from dit_policy_ros.training.new_policy._spread import spread_instructions

__all__ = [
    "IMAGE_SIDE",
    "RESIZED",
    "Adaptation",
    "DataShape",
    "InitialPolicy",
    "adapted_config",
    "build_demo_policy",
    "check_described",
    "check_new_policy",
    "check_reachable",
    "check_same_robot",
    "demo_config",
    "demo_vision_encoder",
    "encoder_image_statistics",
    "image_read_size",
    "initial_policy",
    "new_policy_config",
    "relative_entries",
    "spread_instructions",
]

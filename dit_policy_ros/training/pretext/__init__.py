# SPDX-License-Identifier: Apache-2.0
"""Pretext tasks: learning from stills what an image shows, before actions are learned.

Only policies without pretrained encoders need them.
"""

from dit_policy_ros.training.pretext._observation import EncodedStills, pretrain_observation
from dit_policy_ros.training.pretext._regression import HELD_OUT, PretextSettings, Targets
from dit_policy_ros.training.pretext._vision import pretrain_vision

__all__ = [
    "HELD_OUT",
    "EncodedStills",
    "PretextSettings",
    "Targets",
    "pretrain_observation",
    "pretrain_vision",
]

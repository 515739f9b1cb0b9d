# SPDX-License-Identifier: Apache-2.0
"""Learning from stills what is in a picture, before actions are learned.

Only policies without pretrained encoders need this.
"""

from dit_policy_ros.training.pretext._observation import pretrain_observation
from dit_policy_ros.training.pretext._vision import HELD_OUT, pretrain_vision

__all__ = ["HELD_OUT", "pretrain_observation", "pretrain_vision"]

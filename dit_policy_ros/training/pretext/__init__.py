# SPDX-License-Identifier: Apache-2.0
"""Pretext tasks: learning what an image shows, before actions are learned.

From stills with known content, or from the demonstrations' own frames.
"""

from dit_policy_ros.training.pretext._frames import ChosenFrames, FrameImages, choose_frames, coming_states
from dit_policy_ros.training.pretext._goals import next_goals
from dit_policy_ros.training.pretext._intent import IntentFrames, pretrain_intent
from dit_policy_ros.training.pretext._observation import EncodedStills, pretrain_observation
from dit_policy_ros.training.pretext._regression import HELD_OUT, PretextSettings, Targets
from dit_policy_ros.training.pretext._vision import pretrain_vision

__all__ = [
    "HELD_OUT",
    "ChosenFrames",
    "EncodedStills",
    "FrameImages",
    "IntentFrames",
    "PretextSettings",
    "Targets",
    "choose_frames",
    "coming_states",
    "next_goals",
    "pretrain_intent",
    "pretrain_observation",
    "pretrain_vision",
]

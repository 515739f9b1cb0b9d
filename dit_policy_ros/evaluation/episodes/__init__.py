# SPDX-License-Identifier: Apache-2.0
"""Evaluation episodes: with the real nodes over ROS, or in lock-step without a clock."""

from dit_policy_ros.evaluation.episodes._evaluation import Evaluation
from dit_policy_ros.evaluation.episodes._jerk import rms_jerk
from dit_policy_ros.evaluation.episodes._load_policy import load_policy_of
from dit_policy_ros.evaluation.episodes._node_actor import NodeActor, node_settings
from dit_policy_ros.evaluation.episodes._policy_actor import PolicyActor, image_size
from dit_policy_ros.evaluation.episodes._settings import EvaluationSettings

__all__ = [
    "Evaluation",
    "EvaluationSettings",
    "NodeActor",
    "PolicyActor",
    "image_size",
    "load_policy_of",
    "node_settings",
    "rms_jerk",
]

# SPDX-License-Identifier: Apache-2.0
"""Puts checkpoints on the Hugging Face hub, with a model card."""

from dit_policy_ros.training.publishing._evaluation import read_evaluation
from dit_policy_ros.training.publishing._model_card import model_card
from dit_policy_ros.training.publishing._push_checkpoint import push_checkpoint

__all__ = ["model_card", "push_checkpoint", "read_evaluation"]

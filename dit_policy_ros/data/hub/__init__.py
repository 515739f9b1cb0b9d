# SPDX-License-Identifier: Apache-2.0
"""Puts datasets and checkpoints on the Hugging Face hub, each with a card that says what it is."""

from dit_policy_ros.data.hub._dataset_card import dataset_card
from dit_policy_ros.data.hub._push_dataset import push_dataset
from dit_policy_ros.data.hub._repository import Repository, card_table

__all__ = ["Repository", "card_table", "dataset_card", "push_dataset"]

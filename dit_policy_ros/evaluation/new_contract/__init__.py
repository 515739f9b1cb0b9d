# SPDX-License-Identifier: Apache-2.0
"""Writes a contract from a running robot and from demonstrations; what only a person knows is marked."""

from dit_policy_ros.evaluation.new_contract._demonstrations import DatasetFacts, read_dataset_facts
from dit_policy_ros.evaluation.new_contract._draft import Choices, draft_contract, places_to_fill_in
from dit_policy_ros.evaluation.new_contract._robot_facts import RobotFacts, look_at_robot
from dit_policy_ros.evaluation.new_contract._text import contract_text

__all__ = [
    "Choices",
    "DatasetFacts",
    "RobotFacts",
    "contract_text",
    "draft_contract",
    "look_at_robot",
    "places_to_fill_in",
    "read_dataset_facts",
]

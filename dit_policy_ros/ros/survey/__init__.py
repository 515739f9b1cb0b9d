# SPDX-License-Identifier: Apache-2.0
"""What a running robot shows of itself: its contract file, streams, description and controllers."""

from dit_policy_ros.ros.survey._contract_file import ContractFile, read_contract_file
from dit_policy_ros.ros.survey._controllers import FoundController, FoundControllers, find_controllers
from dit_policy_ros.ros.survey._description import read_description
from dit_policy_ros.ros.survey._streams import StreamFacts, measure_streams
from dit_policy_ros.ros.survey._survey import spinning, survey_node, topics_of, wait_until

__all__ = [
    "ContractFile",
    "FoundController",
    "FoundControllers",
    "StreamFacts",
    "find_controllers",
    "measure_streams",
    "read_contract_file",
    "read_description",
    "spinning",
    "survey_node",
    "topics_of",
    "wait_until",
]

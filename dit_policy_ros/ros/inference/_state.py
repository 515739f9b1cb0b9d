# SPDX-License-Identifier: Apache-2.0
"""The state of the inference node."""

from dataclasses import dataclass
from typing import Any

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.incidents import IncidentRing
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.ros.common import SensorStreams
from dit_policy_ros.ros.inference_protocol import PolicyDescription


@dataclass(slots=True)
class Configured:
    """Everything that exists from configure to cleanup."""

    contract: Contract
    settings: dict[str, Any]  # parameters by name
    policy: Policy
    sensors: SensorStreams
    ring: IncidentRing
    described: PolicyDescription

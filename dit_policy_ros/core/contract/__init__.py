# SPDX-License-Identifier: Apache-2.0
"""The robot contract: the joints, controllers, cameras and limits that policy and recorder share.

It is read strictly, from ROS parameters and optionally a URDF.
"""

from dit_policy_ros.core.contract._contract import (
    NANOSECONDS,
    Camera,
    Contract,
    Controller,
    ControllerType,
    Limits,
)
from dit_policy_ros.core.contract._contract_parser import parse_contract
from dit_policy_ros.core.contract._controller_rules import controller_findings
from dit_policy_ros.core.contract._joint_mapping import JointMapping, parse_mapping

__all__ = [
    "NANOSECONDS",
    "Camera",
    "Contract",
    "Controller",
    "ControllerType",
    "JointMapping",
    "Limits",
    "controller_findings",
    "parse_contract",
    "parse_mapping",
]

# SPDX-License-Identifier: Apache-2.0
"""The robot contract: joints, controllers, cameras and limits.

It is read strictly from ROS parameters (and a URDF), and both nodes agree on it.
"""

from dit_policy_ros.core.contract._contract import (
    NANOSECONDS,
    Camera,
    Contract,
    Controller,
    ControllerType,
    Limits,
)
from dit_policy_ros.core.contract._controller_rules import controller_findings
from dit_policy_ros.core.contract._joint_mapping import JointMapping, parse_mapping
from dit_policy_ros.core.contract._parser import parse_contract

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

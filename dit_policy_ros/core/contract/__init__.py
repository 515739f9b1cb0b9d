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
    JointStateTopic,
    Limits,
)
from dit_policy_ros.core.contract._contract_parser import parse_contract
from dit_policy_ros.core.contract._controller_rules import controller_findings
from dit_policy_ros.core.contract._dataset_names import DatasetName
from dit_policy_ros.core.contract._joint_mapping import JointMapping, parse_mapping
from dit_policy_ros.core.contract._mapping_reader import FILL_IN, is_topic
from dit_policy_ros.core.contract._robot_names import RobotName
from dit_policy_ros.core.contract._urdf import UrdfJoint, find_urdf, parse_urdf
from dit_policy_ros.core.contract._vectors import QUATERNION, Vector, VectorType

__all__ = [
    "FILL_IN",
    "NANOSECONDS",
    "QUATERNION",
    "Camera",
    "Contract",
    "Controller",
    "ControllerType",
    "DatasetName",
    "JointMapping",
    "JointStateTopic",
    "Limits",
    "RobotName",
    "UrdfJoint",
    "Vector",
    "VectorType",
    "controller_findings",
    "find_urdf",
    "is_topic",
    "parse_contract",
    "parse_mapping",
    "parse_urdf",
]

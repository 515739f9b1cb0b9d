# SPDX-License-Identifier: Apache-2.0
"""The contract of the built-in robot with its two arms controlled by poses."""

import copy
from pathlib import Path
from typing import Any

import yaml

from dit_policy_ros.core.contract import Contract, parse_contract

CONFIG = Path(__file__).parents[2] / "config" / "bimanual_end_effector.yaml"
SIDES = ("left", "right")
_SHIPPED: dict[str, Any] = yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"]
_LEFT = _SHIPPED["limits"]["left_ee"]
DOWN = {side: _SHIPPED["limits"][f"{side}_ee"]["orientation"] for side in SIDES}
LINEAR = (_LEFT["linear_velocity"], _LEFT["linear_acceleration"])  # [m/s, m/s^2]
ANGULAR = (_LEFT["angular_velocity"], _LEFT["angular_acceleration"])  # [rad/s, rad/s^2]


def pose_mapping() -> dict[str, Any]:
    """The contract's parameters; a test may change them."""
    return copy.deepcopy(_SHIPPED)


def pose_contract() -> Contract:
    """The contract."""
    return parse_contract(pose_mapping(), "pose_robot.yaml")

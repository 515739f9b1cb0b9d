# SPDX-License-Identifier: Apache-2.0
"""The contract of a small robot: an arm with two joints, a gripper and two small cameras."""

import copy
from typing import Any

from dit_policy_ros.core.contract import parse_contract

SMALL_MAPPING: dict[str, Any] = {
    "robot_type": "small",
    "fps": 30.0,
    "joints": ["shoulder", "finger", "elbow"],
    "joint_states": {"topic": "joint_states", "max_age": 0.5},
    "cameras": {
        "names": ["top", "wrist"],
        "top": {"topic": "top/image_raw", "height": 48, "width": 64, "max_age": 0.5},
        "wrist": {"topic": "wrist/image_raw", "height": 32, "width": 48, "max_age": 0.5},
    },
    "controllers": {
        "names": ["arm", "hand"],
        "arm": {"type": "joint_trajectory_controller", "joints": ["shoulder", "elbow"]},
        "hand": {"type": "joint_trajectory_controller", "joints": ["finger"], "gripper": True},
    },
    "limits": {
        "shoulder": {"position_min": -2.0, "position_max": 2.0, "velocity": 2.0, "acceleration": 8.0},
        "elbow": {"position_min": -2.0, "position_max": 2.0, "velocity": 2.0, "acceleration": 8.0},
        "finger": {"position_min": 0.0, "position_max": 0.04, "velocity": 0.2, "acceleration": 2.0},
    },
}
SMALL_CONTRACT = parse_contract(SMALL_MAPPING, "test")


def small_mapping(**changes: Any) -> dict[str, Any]:
    """A copy of the mapping with some values at the top level changed."""
    return copy.deepcopy(SMALL_MAPPING) | changes

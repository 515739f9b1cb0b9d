# SPDX-License-Identifier: Apache-2.0
"""Latencies from a wiggle: what the arm does, and how far joint states and images lag behind."""

from dit_policy_ros.core.calibration._lag import Lag, LagSearch, find_lag
from dit_policy_ros.core.calibration._latencies import (
    ARM_SEARCH,
    CAMERA_SEARCH,
    ImageMotion,
    JointMotion,
    arm_latency,
    camera_latency,
)
from dit_policy_ros.core.calibration._wiggle import Wiggle, WiggleSettings, plan_wiggle

__all__ = [
    "ARM_SEARCH",
    "CAMERA_SEARCH",
    "ImageMotion",
    "JointMotion",
    "Lag",
    "LagSearch",
    "Wiggle",
    "WiggleSettings",
    "arm_latency",
    "camera_latency",
    "find_lag",
    "plan_wiggle",
]

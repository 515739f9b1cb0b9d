# SPDX-License-Identifier: Apache-2.0
"""Fast inference: a loaded checkpoint that turns observations into chunks.

The networks are restructured, and what they compute stays the same.
"""

from dit_policy_ros.policy.inference._backend import choose_backend, has_fast_bfloat16
from dit_policy_ros.policy.inference._block_calibration import calibrate
from dit_policy_ros.policy.inference._block_schedule import read_schedule, write_schedule
from dit_policy_ros.policy.inference._device import resolve_device
from dit_policy_ros.policy.inference._runtime import DiTRuntime

__all__ = [
    "DiTRuntime",
    "calibrate",
    "choose_backend",
    "has_fast_bfloat16",
    "read_schedule",
    "resolve_device",
    "write_schedule",
]

# SPDX-License-Identifier: Apache-2.0
"""Fast inference: from a loaded checkpoint and an observation to a chunk of actions.

The networks are restructured; their results stay the same to rounding.
"""

from dit_policy_ros.policy.inference._backend import (
    choose_backend,
    has_fast_bfloat16,
    parameters_of_a_chunk,
    resolve_device,
)
from dit_policy_ros.policy.inference._block_cache import read_schedule, weights_sha256, write_schedule
from dit_policy_ros.policy.inference._block_calibration import calibrate
from dit_policy_ros.policy.inference._fast_networks import InferenceSettings
from dit_policy_ros.policy.inference._runtime import DiTRuntime

__all__ = [
    "DiTRuntime",
    "InferenceSettings",
    "calibrate",
    "choose_backend",
    "has_fast_bfloat16",
    "parameters_of_a_chunk",
    "read_schedule",
    "resolve_device",
    "weights_sha256",
    "write_schedule",
]

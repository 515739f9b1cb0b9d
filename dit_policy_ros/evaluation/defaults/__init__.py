# SPDX-License-Identifier: Apache-2.0
"""Defaults that the help of a program names as well. No MuJoCo, no torch: help comes without them."""

from dit_policy_ros.evaluation.defaults._defaults import (
    ACTORS,
    DEMO_INSTRUCTIONS,
    FIRST_SEED,
    PATIENCE,
    STEPS_TO_EXECUTE,
    Actor,
)

__all__ = ["ACTORS", "DEMO_INSTRUCTIONS", "FIRST_SEED", "PATIENCE", "STEPS_TO_EXECUTE", "Actor"]

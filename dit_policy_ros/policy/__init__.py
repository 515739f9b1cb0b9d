# SPDX-License-Identifier: Apache-2.0
"""The Multitask DiT policy: all code that needs torch and runs on the robot."""

from dit_policy_ros.policy._loading import free_memory, load_policy
from dit_policy_ros.policy.checkpoint import checkpoint_hash, pinned

__all__ = ["checkpoint_hash", "free_memory", "load_policy", "pinned"]

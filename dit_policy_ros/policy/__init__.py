# SPDX-License-Identifier: Apache-2.0
"""The Multitask DiT policy: all code that needs torch and runs on the robot."""

from dit_policy_ros.policy._loading import free_memory, load_policy

__all__ = ["free_memory", "load_policy"]

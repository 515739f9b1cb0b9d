# SPDX-License-Identifier: Apache-2.0
"""Reads the contract's further vectors from ROS messages."""

from dit_policy_ros.ros.common.vectors._converter import VectorConverter

__all__ = ["VectorConverter"]

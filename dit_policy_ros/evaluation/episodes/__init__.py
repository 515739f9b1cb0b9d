# SPDX-License-Identifier: Apache-2.0
"""Evaluation episodes: by the real nodes over ROS, or in lock-step without a clock."""

from dit_policy_ros.evaluation.episodes._by_nodes import ros_episodes
from dit_policy_ros.evaluation.episodes._lockstep import PolicyActor, image_size

__all__ = ["PolicyActor", "image_size", "ros_episodes"]

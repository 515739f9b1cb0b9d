# SPDX-License-Identifier: Apache-2.0
"""sim_node, used through its ROS interface: its scenes, its parameters, its vectors and its referee."""

from dit_policy_ros.evaluation.simulator._referee import RefereeMonitor
from dit_policy_ros.evaluation.simulator._scenes import MAX_SLOWDOWN, reset_scene, variation_parameters
from dit_policy_ros.evaluation.simulator._vectors import vector_parameters, vectors_section

__all__ = [
    "MAX_SLOWDOWN",
    "RefereeMonitor",
    "reset_scene",
    "variation_parameters",
    "vector_parameters",
    "vectors_section",
]

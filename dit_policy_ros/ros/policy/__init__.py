# SPDX-License-Identifier: Apache-2.0
"""The policy node: cameras and joint states in, checked trajectories out.

`policy_node` is the node; the other modules are its parts.
"""

from dit_policy_ros.ros.policy._inference_parameters import policy_options
from dit_policy_ros.ros.policy._parameters import POLICY_PARAMETERS, motion_settings

__all__ = ["POLICY_PARAMETERS", "motion_settings", "policy_options"]

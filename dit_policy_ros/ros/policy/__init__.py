# SPDX-License-Identifier: Apache-2.0
"""The policy node: takes cameras and joint states, publishes checked trajectories.

`policy_node` is the node; the private modules are its parts.
"""

from dit_policy_ros.ros.policy._parameters import POLICY_PARAMETERS
from dit_policy_ros.ros.policy._preflight import activation_checks, check_controller_settings
from dit_policy_ros.ros.policy._settings import motion_settings

__all__ = ["POLICY_PARAMETERS", "activation_checks", "check_controller_settings", "motion_settings"]

# SPDX-License-Identifier: Apache-2.0
"""The scripted operator: it demonstrates every task of the suite.

It moves as a person with leader arms would, and tries again when it fails.
"""

from dit_policy_ros.sim.operator._disturbance import Disturbance
from dit_policy_ros.sim.operator._operator import Operator
from dit_policy_ros.sim.operator._skills import grasp_pose
from dit_policy_ros.sim.operator._starts import StartPoses

__all__ = ["Disturbance", "Operator", "StartPoses", "grasp_pose"]

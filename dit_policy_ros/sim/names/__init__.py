# SPDX-License-Identifier: Apache-2.0
"""What the built-in robot's parts are called. No MuJoCo: the programs' help needs the names alone."""

from dit_policy_ros.sim.names._names import ARM_JOINTS, CAMERAS, CONTROLLERS, JOINTS, SIDES

__all__ = ["ARM_JOINTS", "CAMERAS", "CONTROLLERS", "JOINTS", "SIDES"]

# SPDX-License-Identifier: Apache-2.0
"""What lies between the controllers and the simulated joints."""

from dit_policy_ros.sim.servos._command_delay import CommandDelay

__all__ = ["CommandDelay"]

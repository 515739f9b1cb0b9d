# SPDX-License-Identifier: Apache-2.0
"""What an operator holds: leader arms, buttons and pedals, and the services by which a person takes over."""

from dit_policy_ros.ros.teleoperation._buttons import Buttons
from dit_policy_ros.ros.teleoperation._converters import (
    ARRAY,
    COMMAND,
    LEADER,
    TRAJECTORY,
    positions_from,
)
from dit_policy_ros.ros.teleoperation._leader import Leader
from dit_policy_ros.ros.teleoperation._parameters import TAKEOVER_PARAMETERS
from dit_policy_ros.ros.teleoperation._services import TakeoverServices
from dit_policy_ros.ros.teleoperation._topics import topics_with_prefixes

__all__ = [
    "ARRAY",
    "COMMAND",
    "LEADER",
    "TAKEOVER_PARAMETERS",
    "TRAJECTORY",
    "Buttons",
    "Leader",
    "TakeoverServices",
    "positions_from",
    "topics_with_prefixes",
]

# SPDX-License-Identifier: Apache-2.0
"""What drives the arms instead of the policy: a person by leader arms, or the slow way to the rest pose.

A lead gives targets into the motion path of the policy (``Pipeline.take_over`` and ``lead``), so that limits,
splice and HOLD are the same whoever drives.
"""

from dit_policy_ros.core.takeover._homing import HomingLead
from dit_policy_ros.core.takeover._lead import Lead
from dit_policy_ros.core.takeover._leader_track import LeaderTrack
from dit_policy_ros.core.takeover._person import PersonLead, PersonSettings, TakeoverMode
from dit_policy_ros.core.takeover._takeover import LeaderAccess, Takeover

__all__ = [
    "HomingLead",
    "Lead",
    "LeaderAccess",
    "LeaderTrack",
    "PersonLead",
    "PersonSettings",
    "Takeover",
    "TakeoverMode",
]

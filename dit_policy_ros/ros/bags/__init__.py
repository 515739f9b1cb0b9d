# SPDX-License-Identifier: Apache-2.0
"""Episodes from recorded bags, by the code that records them live."""

from dit_policy_ros.ros.bags._bag import Bag, absolute
from dit_policy_ros.ros.bags._conversion import BagConverter
from dit_policy_ros.ros.bags._segment import Converted, source_of
from dit_policy_ros.ros.bags._segments import from_ranges, from_topic
from dit_policy_ros.ros.bags._service_segments import from_service_events

__all__ = [
    "Bag",
    "BagConverter",
    "Converted",
    "absolute",
    "from_ranges",
    "from_service_events",
    "from_topic",
    "source_of",
]

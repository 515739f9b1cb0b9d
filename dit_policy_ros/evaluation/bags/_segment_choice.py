# SPDX-License-Identifier: Apache-2.0
"""Where the episodes of a bag are."""

from dataclasses import dataclass
from typing import Any

from dit_policy_ros.ros.bags import Bag, from_ranges, from_service_events, from_topic


@dataclass(frozen=True, slots=True)
class SegmentChoice:
    """One way to find the episodes of a bag.

    Attributes:
        topic: of std_msgs/String with the tasks; or
        service_events: the recorder's name, whose service events are in the bag; or
        ranges: begin and end [s] after the bag's beginning, and task, of each.
    """

    topic: str = ""
    service_events: str = ""
    ranges: tuple[tuple[float, float, str], ...] = ()

    def find(self, bag: Bag, default_task: str) -> list[Any]:
        """The episodes (``ros.bags.Segment``), in order. Raises DatasetError, TaskError."""
        if self.topic:
            return from_topic(bag, self.topic)
        if self.service_events:
            return from_service_events(bag, self.service_events, default_task)
        return from_ranges(bag, self.ranges)

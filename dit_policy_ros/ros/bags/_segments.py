# SPDX-License-Identifier: Apache-2.0
"""Finds the episodes of a bag: by given times, or by a topic."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from std_msgs.msg import String

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.policy_interface import check_task
from dit_policy_ros.core.problems import listing
from dit_policy_ros.ros.bags._bag import Bag
from dit_policy_ros.ros.bags._segment import Segment


def from_ranges(bag: Bag, ranges: Sequence[tuple[float, float, str]]) -> list[Segment]:
    """Episodes by (begin, end, task), in seconds after the bag's first message.

    Raises DatasetError for ranges that are empty, overlap or lie outside the bag, TaskError for a bad task.
    """
    length = (bag.end_ns - bag.begin_ns) / NANOSECONDS  # [s]
    segments: list[Segment] = []
    for begin, end, task in sorted(ranges):
        check_task(task)
        if not 0.0 <= begin < end or begin > length:
            raise DatasetError(f"episode {begin:g} to {end:g} s: expected 0 <= begin < end <= {length:.1f} s")
        start_ns = bag.begin_ns + round(begin * NANOSECONDS)
        if segments and start_ns < segments[-1].stop_ns:
            raise DatasetError(f"episode {begin:g} to {end:g} s overlaps the previous one")
        segments.append(Segment(start_ns, bag.begin_ns + round(min(end, length) * NANOSECONDS), task))
    return segments


def from_topic(bag: Bag, topic: str) -> list[Segment]:
    """Episodes by std_msgs/String messages: a task begins an episode; an empty text or the next task ends it.

    An episode that nothing ends before the bag ends is cut short.

    Raises DatasetError if the topic does not exist, or no episode begins.
    """
    check_topic(bag, topic, "std_msgs/msg/String")
    changes = [(received_ns, message.data) for _, received_ns, message in bag.messages({topic: String})]
    last = changes[-1:]
    changes.append((bag.end_ns, ""))
    segments = [
        Segment(begin_ns, end_ns, task) for (begin_ns, task), (end_ns, _) in pairwise(changes) if task.strip()
    ]
    if last and last[0][1].strip():
        reason = (
            f"the bag ends before an empty text or another instruction on {topic} ends it. If the bag's end "
            "is the episode's, convert the bag anew, with --episode BEGIN END TASK"
        )
        segments[-1] = replace(segments[-1], cut_short=reason)
    return require_segments(segments, topic)


def check_topic(bag: Bag, topic: str, kind: str) -> None:
    """Raises DatasetError if a bag does not have a topic, or has it with another type."""
    has = bag.topics
    if has.get(topic) != kind:
        topics = listing(f"{name} ({each})" for name, each in sorted(has.items()))
        raise DatasetError(f"bag {bag.path}: expected {topic} ({kind}); it has: {topics}")


def require_segments(segments: list[Segment], topic: str) -> list[Segment]:
    """Returns the segments. Raises DatasetError if there are none."""
    if not segments:
        raise DatasetError(f"no episode begins on {topic}")
    return segments

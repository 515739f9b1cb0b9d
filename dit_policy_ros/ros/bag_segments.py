# SPDX-License-Identifier: Apache-2.0
"""Where the episodes of a bag begin and end."""

from collections.abc import Sequence
from itertools import pairwise

from std_msgs.msg import String

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.task import check_task
from dit_policy_ros.ros.bag_conversion import Bag, Segment

_REQUEST_RECEIVED = 1  # service_msgs/ServiceEventInfo


def from_ranges(bag: Bag, ranges: Sequence[tuple[float, float, str]]) -> list[Segment]:
    """From (begin, end, task), in seconds after the bag's first message.

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
            raise DatasetError(f"episode {begin:g} to {end:g} s overlaps the one before it")
        segments.append(Segment(start_ns, bag.begin_ns + round(min(end, length) * NANOSECONDS), task))
    return segments


def from_topic(bag: Bag, topic: str) -> list[Segment]:
    """From std_msgs/String messages: a task begins an episode, an empty text or the next task ends it.

    Raises DatasetError if there is no such topic, or nothing begins.
    """
    _check(bag, topic, "std_msgs/msg/String")
    changes = [(received_ns, message.data) for _, received_ns, message in bag.messages({topic: String})]
    changes.append((bag.end_ns, ""))
    segments = [
        Segment(begin_ns, end_ns, task) for (begin_ns, task), (end_ns, _) in pairwise(changes) if task.strip()
    ]
    return _some(segments, topic)


def from_service_events(bag: Bag, node: str) -> list[Segment]:
    """From the calls of the recorder's services, where their introspection was on and recorded with contents.

    node: name of the recorder. Discarded episodes are left out. Raises DatasetError as `from_topic`.
    """
    from dit_policy_ros.srv._start_episode import StartEpisode_Event
    from dit_policy_ros.srv._stop_episode import StopEpisode_Event

    start, stop = (f"{node.rstrip('/')}/{name}_episode/_service_event" for name in ("start", "stop"))
    _check(bag, start, "dit_policy_ros/srv/StartEpisode_Event")
    _check(bag, stop, "dit_policy_ros/srv/StopEpisode_Event")
    segments: list[Segment] = []
    begun: tuple[int, str] | None = None
    for topic, received_ns, event in bag.messages({start: StartEpisode_Event, stop: StopEpisode_Event}):
        if event.info.event_type != _REQUEST_RECEIVED or not event.request:
            continue
        request = event.request[0]
        if topic == start:
            begun = (received_ns, request.task)
        elif begun is not None:
            if request.save:
                segments.append(Segment(begun[0], received_ns, begun[1], request.success_label))
            begun = None
    return _some(segments, start)


def _check(bag: Bag, topic: str, kind: str) -> None:
    has = bag.topics
    if has.get(topic) != kind:
        topics = listing(f"{name} ({each})" for name, each in sorted(has.items()))
        raise DatasetError(f"bag {bag.path}: expected {topic} ({kind}); it has: {topics}")


def _some(segments: list[Segment], topic: str) -> list[Segment]:
    if not segments:
        raise DatasetError(f"no episode begins on {topic}")
    return segments

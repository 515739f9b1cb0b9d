# SPDX-License-Identifier: Apache-2.0
"""Finds the episodes of a bag by the recorder's service calls and its answers."""

from dataclasses import dataclass, field
from typing import Any

from service_msgs.msg import ServiceEventInfo
from std_srvs.srv import Trigger

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.ros.bags._bag import Bag
from dit_policy_ros.ros.bags._segment import Segment
from dit_policy_ros.ros.bags._segments import check_topic, require_segments
from dit_policy_ros.srv import SetTask, StartEpisode, StopEpisode

_START, _STOP, _RERECORD, _SET_TASK = "start_episode", "stop_episode", "rerecord", "set_task"
_KINDS = {
    _START: StartEpisode.Event,
    _STOP: StopEpisode.Event,
    _RERECORD: Trigger.Event,
    _SET_TASK: SetTask.Event,
}


def from_service_events(bag: Bag, node: str, default_task: str = "") -> list[Segment]:
    """Episodes by the recorder's successful service calls.

    Args:
        bag: has the service events, with contents.
        node: full name of the recorder.
        default_task: instruction of episodes that began without one.

    Raises:
        DatasetError: the topics are missing, no episode was saved, or an instruction is missing.
    """
    topics = {f"{node.rstrip('/')}/{name}/_service_event": name for name in _KINDS}
    has = bag.topics
    for topic, name in topics.items():
        if name in (_START, _STOP) or topic in has:
            package, kind = _KINDS[name].__module__.split(".")[0], _KINDS[name].__name__
            check_topic(bag, topic, f"{package}/srv/{kind}")
    kinds = {topic: _KINDS[name] for topic, name in topics.items() if topic in has}
    session = _Session(default_task)
    asked: dict[tuple[Any, ...], tuple[int, Any]] = {}  # calls without an answer yet: time [ns] and request
    for topic, received_ns, event in bag.messages(kinds):
        info = event.info
        call = (topic, bytes(info.client_gid), info.sequence_number)
        if info.event_type == ServiceEventInfo.REQUEST_RECEIVED and event.request:
            asked[call] = (received_ns, event.request[0])
            if topics[topic] == _STOP:
                session.stop_requested(received_ns)
        elif info.event_type == ServiceEventInfo.RESPONSE_SENT and event.response and call in asked:
            asked_ns, request = asked.pop(call)
            if event.response[0].success:
                session.answered(topics[topic], request, asked_ns, received_ns)
    saved = sorted(session.saved, key=lambda segment: segment.start_ns)
    return require_segments(saved, " and ".join(topic for topic in kinds if topics[topic] in (_START, _STOP)))


@dataclass(slots=True)
class _Running:
    """The episode that was being recorded. end_ns: when ~/stop_episode was first called; no frames follow."""

    begin_ns: int
    task: str
    end_ns: int | None = None
    changes: list[tuple[int, str]] = field(default_factory=list)


class _Session:
    """Follows the recorder's state call by call."""

    def __init__(self, default_task: str) -> None:
        self.saved: list[Segment] = []
        self._default_task = default_task
        self._running: _Running | None = None

    def stop_requested(self, now_ns: int) -> None:
        """The running episode gets no more frames, even if saving has to be repeated."""
        if self._running is not None and self._running.end_ns is None:
            self._running.end_ns = now_ns

    def answered(self, name: str, request: Any, asked_ns: int, answered_ns: int) -> None:
        """Handle a successful service call."""
        running = self._running
        if name == _START:
            task = request.task or self._default_task
            if not task.strip():
                raise DatasetError(
                    f"an episode began without an instruction at {answered_ns} ns; set the recorder's "
                    "parameter 'task' in --config to the instruction that was used"
                )
            if running is not None and running.end_ns is None:
                self._lost(running.begin_ns, answered_ns, running.task, "a button ended it")
            self._running = _Running(answered_ns, task)
        elif running is None:
            if name == _STOP and request.save:  # begun by a button, or before the bag
                self._lost(asked_ns, asked_ns, self._default_task, "no call in the bag began it")
        elif name == _RERECORD:
            task = running.changes[-1][1] if running.changes else running.task
            self._running = _Running(answered_ns, task)
        elif name == _SET_TASK:
            running.changes.append((asked_ns, request.task))
        else:
            if request.save:
                end_ns, changes = running.end_ns or asked_ns, tuple(running.changes)
                self.saved.append(
                    Segment(running.begin_ns, end_ns, running.task, request.success_label, changes)
                )
            self._running = None

    def _lost(self, start_ns: int, stop_ns: int, task: str, reason: str) -> None:
        """Notes an episode of which the calls do not tell all."""
        problem = f"{reason}, and buttons are not in service events; give its times with --episode"
        self.saved.append(Segment(start_ns, stop_ns, task, problem=problem))

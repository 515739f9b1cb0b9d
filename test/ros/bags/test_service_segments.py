# SPDX-License-Identifier: Apache-2.0
"""Which episodes the recorder's service calls tell of, also if an operator mixes calls and buttons."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from types import SimpleNamespace

from service_msgs.msg import ServiceEventInfo
from std_srvs.srv import Trigger

from dit_policy_ros.ros.bags import from_service_events
from dit_policy_ros.srv import SetTask, StartEpisode, StopEpisode

KINDS = {
    "start_episode": StartEpisode,
    "stop_episode": StopEpisode,
    "set_task": SetTask,
    "rerecord": Trigger,
}


def bag_of(*calls: tuple[int, str, bool, dict]) -> SimpleNamespace:
    """A bag with these calls: time, service, whether it succeeded, request."""
    events = []
    for number, (when, name, success, request) in enumerate(calls):
        for kind in (ServiceEventInfo.REQUEST_RECEIVED, ServiceEventInfo.RESPONSE_SENT):
            event = KINDS[name].Event()
            event.info.event_type, event.info.sequence_number = kind, number
            if kind == ServiceEventInfo.REQUEST_RECEIVED:
                event.request = [KINDS[name].Request(**request)]
            else:
                event.response = [KINDS[name].Response(success=success)]
            events.append((f"/recorder/{name}/_service_event", when, event))
    topics = {
        f"/recorder/{name}/_service_event": f"{kind.Event.__module__.split('.')[0]}/srv/{kind.__name__}_Event"
        for name, kind in KINDS.items()
    }
    return SimpleNamespace(topics=topics, path="bag", messages=lambda kinds: iter(events))


def begin(when: int, task: str, success: bool = True) -> tuple:
    return when, "start_episode", success, {"task": task}


def stop(when: int, success: bool = True, save: bool = True) -> tuple:
    return when, "stop_episode", success, {"save": save, "success_label": True}


def test_a_double_press_leaves_no_episode_and_hides_no_other() -> None:
    bag = bag_of(begin(1, "pressed twice"), stop(2, success=False), begin(3, "kept"), stop(9))
    (segment,) = from_service_events(bag, "/recorder")
    assert (segment.task, segment.start_ns, segment.stop_ns, segment.problem) == ("kept", 3, 9, "")


def test_what_a_button_began_is_named_and_not_dropped_in_silence() -> None:
    bag = bag_of(stop(4), begin(5, "kept"), stop(9))
    first, second = from_service_events(bag, "/recorder", "by button")
    assert "no call in the bag began it" in first.problem and "--episode" in first.problem
    assert (second.task, second.problem) == ("kept", "")


def test_what_a_button_ended_is_named() -> None:
    bag = bag_of(begin(1, "ended by a button"), begin(5, "kept"), stop(9))
    first, second = from_service_events(bag, "/recorder")
    assert (first.task, second.task) == ("ended by a button", "kept")
    assert "a button ended it" in first.problem and not second.problem


def test_a_button_that_discards_is_no_episode() -> None:
    bag = bag_of(stop(2, save=False), begin(5, "kept"), stop(9))
    (segment,) = from_service_events(bag, "/recorder")
    assert segment.task == "kept"

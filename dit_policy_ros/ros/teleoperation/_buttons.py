# SPDX-License-Identifier: Apache-2.0
"""The buttons of a gamepad or foot pedal (sensor_msgs/Joy)."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import Joy

from dit_policy_ros.core.problems import listing
from dit_policy_ros.ros.graph import UNNAMED_NODE, endpoint_gid, node_of

_DEPTH = 10
_LOOK_PERIOD = 0.5  # [s] at least between two looks into the graph
_NOTED_FOR = 2.0  # [s] an ignored message is a problem
_LOG_PERIOD = 5.0  # [s]
_GID_LENGTH = 16  # the graph fills longer ones up with zeros


class Buttons:
    """Calls `on_press` with the name of an action when its button goes down.

    Only one publisher is listened to: two gamepads that are held differently would press and release each
    button in turns. It is the first one that is heard, until its publisher is gone. Where ROS does not tell
    who sent a message (Jazzy), nobody is listened to while there are several.

    Args:
        node: owns the subscription.
        topic: of the messages.
        numbers: of the button of each action; below 0: none.
        on_press: carries out an action.
        group: callback group of the services that do the same, so that the two never run at the same time.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        numbers: Mapping[str, int],
        on_press: Callable[[str], None],
        group: CallbackGroup,
    ) -> None:
        self._node = node
        self._on_press = on_press
        self._actions = {number: action for action, number in numbers.items() if number >= 0}
        self._pressed: set[int] | None = None  # button numbers; None before the first message
        self._publisher = b""  # GID of the one that is listened to; empty: none yet, or ROS does not tell
        self._graph: tuple[float, list[TopicEndpointInfo]] = (0.0, [])  # [s] steady, when it was looked at
        self._note = (0.0, "")  # [s] steady, and who was ignored then
        self._subscription = node.create_subscription(Joy, topic, self._on_joy, _DEPTH, callback_group=group)

    @property
    def problem(self) -> str:
        """Who is ignored now; empty if nobody is."""
        noted, text = self._note
        return text if text and time.monotonic() - noted < _NOTED_FOR else ""

    def close(self) -> None:
        """Destroys the subscription."""
        self._node.destroy_subscription(self._subscription)

    def _on_joy(self, msg: Joy, info: Any) -> None:
        if not self._is_from_ours(_sender(info)):
            return
        pressed = {number for number, state in enumerate(msg.buttons) if state}
        # A button that is already held in the first message does not count.
        newly_pressed = pressed - self._pressed if self._pressed is not None else set()
        self._pressed = pressed
        chosen = sorted(newly_pressed & self._actions.keys())
        if chosen and not self._publisher and len(self._look(within=0.0)) > 1:
            self._ignore(f"{_names(self._look())} all publish on {self._topic}, so no button counts")
            return
        for number in chosen:
            self._on_press(self._actions[number])

    def _is_from_ours(self, sender: bytes) -> bool:
        """Whether a message counts; empty: ROS does not tell whose it is."""
        if sender == self._publisher:
            return True
        found = self._look()
        if ours := [each for each in found if self._publisher and _short_gid(each) == self._publisher]:
            other = [each for each in found if _short_gid(each) == sender]
            self._ignore(f"{_names(other)} is ignored: {_names(ours)} was there first on {self._topic}")
            return False
        self._publisher, self._pressed = sender, None
        return True

    def _ignore(self, text: str) -> None:
        text = f"two sources of buttons: {text}. Stop one, or give it another topic"
        self._note = time.monotonic(), text
        self._node.get_logger().error(text, throttle_duration_sec=_LOG_PERIOD)

    def _look(self, within: float = _LOOK_PERIOD) -> list[TopicEndpointInfo]:
        """The publishers of the topic, as they were within this time [s]; several are not looked for anew."""
        looked, found = self._graph
        if time.monotonic() - looked > (_LOOK_PERIOD if len(found) > 1 else within):
            self._graph = time.monotonic(), self._node.get_publishers_info_by_topic(self._topic)
        return self._graph[1]

    @property
    def _topic(self) -> str:
        return self._subscription.topic_name


def _names(endpoints: list[TopicEndpointInfo]) -> str:
    return listing(node_of(each) or UNNAMED_NODE for each in endpoints) if endpoints else UNNAMED_NODE


def _short_gid(endpoint: TopicEndpointInfo) -> bytes:
    return endpoint_gid(endpoint)[:_GID_LENGTH]


def _sender(info: Any) -> bytes:
    """GID of a message's publisher; empty if rclpy does not tell it."""
    gid = info.get("publisher_gid") if isinstance(info, Mapping) else None
    data = gid.get("data") if isinstance(gid, Mapping) else gid
    return bytes(data)[:_GID_LENGTH] if data else b""

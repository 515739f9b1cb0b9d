# SPDX-License-Identifier: Apache-2.0
"""A gamepad or a foot pedal as the operator's hand on the recorder."""

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import Joy

ACTIONS = ("start", "save", "fail", "discard", "rerecord")
_DEPTH = 10


class Buttons:
    """Calls `press` with the name of an action when its button goes down.

    Args:
        node: whose subscription it is.
        settings: the recorder's parameters, of which it reads `joy.*`.
        press: does what the button is for.
        group: of the services that do the same, so that the two never overlap.
    """

    def __init__(
        self, node: Node, settings: Mapping[str, Any], press: Callable[[str], None], group: CallbackGroup
    ) -> None:
        self._node = node
        self._press = press
        self._actions = {
            settings[f"joy.{action}"]: action for action in ACTIONS if settings[f"joy.{action}"] >= 0
        }
        self._down: set[int] | None = None  # not known before the first message
        self._subscription = node.create_subscription(
            Joy, settings["joy.topic"], self._on_joy, _DEPTH, callback_group=group
        )

    def close(self) -> None:
        """Listens no more."""
        self._node.destroy_subscription(self._subscription)

    def _on_joy(self, msg: Joy) -> None:
        down = {number for number, state in enumerate(msg.buttons) if state}
        pressed = down - self._down if self._down is not None else set()  # one held at the start is no press
        self._down = down
        for number in sorted(pressed & self._actions.keys()):
            self._press(self._actions[number])

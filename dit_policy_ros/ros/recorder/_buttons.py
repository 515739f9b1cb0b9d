# SPDX-License-Identifier: Apache-2.0
"""Records by the buttons of a gamepad or foot pedal (sensor_msgs/Joy)."""

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import Joy

ACTIONS = ("start", "save", "fail", "discard", "rerecord")
_DEPTH = 10


class Buttons:
    """Calls `on_press` with the name of an action when its button goes down.

    Args:
        node: owns the subscription.
        settings: the recorder's parameters; `joy.*` are used.
        on_press: carries out an action.
        group: callback group of the services that do the same, so that the two never run at the same time.
    """

    def __init__(
        self, node: Node, settings: Mapping[str, Any], on_press: Callable[[str], None], group: CallbackGroup
    ) -> None:
        self._node = node
        self._on_press = on_press
        self._actions = {
            settings[f"joy.{action}"]: action for action in ACTIONS if settings[f"joy.{action}"] >= 0
        }
        self._pressed: set[int] | None = None  # button numbers; None before the first message
        self._subscription = node.create_subscription(
            Joy, settings["joy.topic"], self._on_joy, _DEPTH, callback_group=group
        )

    def close(self) -> None:
        """Destroys the subscription."""
        self._node.destroy_subscription(self._subscription)

    def _on_joy(self, msg: Joy) -> None:
        pressed = {number for number, state in enumerate(msg.buttons) if state}
        # A button that is already held in the first message does not count.
        newly_pressed = pressed - self._pressed if self._pressed is not None else set()
        self._pressed = pressed
        for number in sorted(newly_pressed & self._actions.keys()):
            self._on_press(self._actions[number])

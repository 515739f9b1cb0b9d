# SPDX-License-Identifier: Apache-2.0
"""Replaces a node: its subscriptions are fed from a recording, and its clock shows the recording's time."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from rclpy.time import Time


@dataclass(frozen=True, slots=True)
class Input:
    """A subscribed topic and its callback."""

    kind: type
    topic: str
    callback: Callable[[Any], None]


class Playback:
    """The part of a node's interface that streams need.

    now_ns: the time of the recording [ns]; the player sets it. inputs: the subscriptions.

    Args:
        report: called with each message that a node would log as an error.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self.now_ns = 0
        self.inputs: list[Input] = []
        self._logger = SimpleNamespace(error=report)

    def create_subscription(
        self, kind: type, topic: str, callback: Callable[[Any], None], profile: Any, **_: Any
    ) -> Input:
        """See rclpy's Node."""
        self.inputs.append(Input(kind, topic, callback))
        return self.inputs[-1]

    def destroy_subscription(self, subscription: Input) -> None:
        """See rclpy's Node."""
        self.inputs.remove(subscription)

    def get_clock(self) -> "Playback":
        """See rclpy's Node."""
        return self

    def now(self) -> Time:
        """See rclpy's Clock."""
        return Time(nanoseconds=self.now_ns)

    def get_logger(self) -> SimpleNamespace:
        """See rclpy's Node."""
        return self._logger

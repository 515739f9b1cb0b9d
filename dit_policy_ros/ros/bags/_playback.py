# SPDX-License-Identifier: Apache-2.0
"""Stands where a node stands: what is subscribed to is fed from a recording, and the clock shows its time."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from rclpy.time import Time


@dataclass(frozen=True, slots=True)
class Input:
    """A topic that is needed, and what takes its messages."""

    kind: type
    topic: str
    callback: Callable[[Any], None]


class Playback:
    """As much of a node as streams need.

    now_ns: the time of the recording [ns]; whoever plays it sets it. inputs: what was subscribed to.

    Args:
        report: hears what would be logged as an error.
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

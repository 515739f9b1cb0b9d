# SPDX-License-Identifier: Apache-2.0
"""The panel's signs of life for the policy node, while a page is in charge."""

import os
import socket
import time
from collections.abc import Callable

from diagnostic_msgs.msg import KeyValue
from rclpy.node import Node

from dit_policy_ros.core.sensing import LEFT

PERIOD = 0.2  # [s] between two of them
_FAREWELL = 1.0  # [s] for which a word that may be lost on the way is repeated


class Heartbeat:
    """Tells the policy node that the panel lives, so that its silence is a HOLD.

    A panel that is left says so. One that ends, hangs or loses its page in charge becomes silent.

    Args:
        publish: sends a word; empty for a sign of life.
        clock: the time now [s].
    """

    def __init__(self, publish: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._publish = publish
        self._clock = clock
        self._sent = self._left = float("-inf")  # [s]

    def leave(self) -> None:
        """Nobody is in charge any more, on purpose."""
        self._left, self._sent = self._clock(), float("-inf")

    def tick(self, is_in_charge: bool) -> None:
        """Send what is due."""
        now = self._clock()
        if now - self._sent < PERIOD or not (is_in_charge or now - self._left < _FAREWELL):
            return
        self._sent = now
        self._publish("" if is_in_charge else LEFT)


def heartbeat(node: Node, policy: str) -> Heartbeat:
    """The heartbeat of a panel for a policy node, by its full name."""
    name = f"the panel on {socket.gethostname()} (process {os.getpid()})"
    publisher = node.create_publisher(KeyValue, f"{policy}/heartbeat", 10)
    return Heartbeat(lambda word: publisher.publish(KeyValue(key=name, value=word)))

# SPDX-License-Identifier: Apache-2.0
"""The two clocks that the policy node reads."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.node import Node


@dataclass(frozen=True, slots=True)
class Clocks:
    """The node's clock, which can be set or pause, and a steady clock, which cannot.

    Attributes:
        now_ns: reads the node's clock [ns]; all stamps are its.
        steady_ns: reads the steady clock [ns].
        is_simulated: whether the node's clock is simulated time.
    """

    now_ns: Callable[[], int]
    steady_ns: Callable[[], int]
    is_simulated: bool

    def both_ns(self) -> tuple[int, int]:
        """Both clocks at one moment [ns]: read without an interruption in between, if that can be."""
        for _ in range(10):
            before_ns, now_ns = self.steady_ns(), self.now_ns()
            after_ns = self.steady_ns()
            if after_ns - before_ns < 1_000_000:
                break
        return now_ns, after_ns


def clocks_of(node: Node) -> Clocks:
    """The clocks of a node, as its use_sim_time says now."""

    def now_ns() -> int:
        return node.get_clock().now().nanoseconds

    return Clocks(now_ns, time.monotonic_ns, node.get_parameter("use_sim_time").value)

# SPDX-License-Identifier: Apache-2.0
"""Timers that do not depend on the node's clock."""

from collections.abc import Callable

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.timer import Timer


def steady_timer(node: Node, rate: float, callback: Callable[[], None], group: CallbackGroup) -> Timer:
    """A timer [Hz] that goes on when simulated time pauses or the clock is set."""
    clock = Clock(clock_type=ClockType.STEADY_TIME)
    return node.create_timer(1.0 / rate, callback, callback_group=group, clock=clock)

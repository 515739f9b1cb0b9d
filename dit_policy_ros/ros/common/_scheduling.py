# SPDX-License-Identifier: Apache-2.0
"""What runs when in a node: executor, timers, thread priority, and subscriptions that no executor watches."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import (
    Clock,
    ClockType,  # pyright: ignore[reportPrivateImportUsage] - documented there
)
from rclpy.exceptions import InvalidHandle
from rclpy.executors import MultiThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.timer import Timer

_POLL_PERIOD = 0.0002  # [s]
_MAX_POLLS = 500  # after 0.1 s we stop waiting and behave like rclpy's executor
_MAX_ATTEMPTS = 500
# rclpy raises these while it builds its wait set if another thread makes or destroys an entity meanwhile. For
# subscriptions and services it handles that itself. Not for their events, which are invalid handles then; nor
# for clients of actions (9.1, action/client.py), which are in the node's list before they have their lock,
# and after their handle is gone, of which rcl says RCLError. The next attempt finds them whole, or no more.
_OF_A_MOMENT = (InvalidHandle, rclpy_implementation.RCLError, AttributeError)
# Inference fills a core for tens of milliseconds, and where no thread may have a real-time priority the
# control loop must not wait for it. The value is small because inference still needs its share of a computer
# that is busy with other processes.
_NICENESS = 5


class PatientExecutor(MultiThreadedExecutor):
    """rclpy's multi-threaded executor without its busy waiting.

    MultiThreadedExecutor of rclpy 9.1 submits a callback to its threads again and again until one of them has
    started it, and keeps the interpreter from those threads meanwhile (executors.py: wait_for_ready_callbacks
    yields tasks that have not started yet). This executor looks for new work only after the last submitted
    callback has started. Measured with `make demo` on two idle cores, rclpy's executor against this one:
    inference 120 against 37 ms (p50), control interval 77 against 24 ms (p99), 0.89 against 0.45 cores.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._last_submitted: Any = None

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """Like the base class, but first gives the last submitted callback time to start."""
        last = self._last_submitted
        for _ in range(_MAX_POLLS):
            if last is None or last.executing() or last.done():
                break
            time.sleep(_POLL_PERIOD)
        for attempts_left in reversed(range(_MAX_ATTEMPTS)):
            try:
                ready = super().wait_for_ready_callbacks(*args, **kwargs)
                break
            except _OF_A_MOMENT:
                if not attempts_left:
                    raise
                time.sleep(_POLL_PERIOD)  # the other thread goes on
        self._last_submitted = ready[0]
        return ready


def steady_timer(node: Node, rate: float, callback: Callable[[], None], group: CallbackGroup) -> Timer:
    """A timer at `rate` [Hz] that keeps running when simulated time pauses or the system clock is set."""
    clock = Clock(clock_type=ClockType.STEADY_TIME)
    return node.create_timer(1.0 / rate, callback, callback_group=group, clock=clock)


def silent_clock(node: Node) -> str:
    """What is wrong if the node waits for simulated time that does not come; empty otherwise."""
    if not node.get_parameter("use_sim_time").value or node.get_clock().now().nanoseconds:
        return ""
    advice = "start the simulation, or set use_sim_time to false"
    return f"use_sim_time is true, but nothing comes on /clock: {advice}"


def lower_thread_priority() -> None:
    """Lower the priority of the calling thread. This needs no privilege."""
    thread = threading.get_native_id()
    niceness = os.getpriority(os.PRIO_PROCESS, thread)
    os.setpriority(os.PRIO_PROCESS, thread, min(niceness + _NICENESS, 19))


def raise_thread_priority(priority: int) -> str:
    """Give the calling thread a real-time priority (SCHED_FIFO, 1 to 99), but not the threads that it starts.

    Returns why that is not possible, with the remedy; empty if it is done.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except PermissionError:
        return (
            f"this user may not set the real-time priority {priority} (control_priority). On a busy computer "
            f"its ticks are late by milliseconds. Give the user the right, as for ros2_control: a line "
            f"'USER - rtprio {priority}' in /etc/security/limits.conf, then log in again. Or set "
            f"control_priority to 0"
        )
    return ""


class UnwatchedGroup(CallbackGroup):
    """A callback group that never runs its callbacks: messages wait in the middleware until taken."""

    def can_execute(self, entity: Any) -> bool:
        """Always False."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Always False."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Does nothing: no callback has started."""


def take_messages(subscription: Subscription) -> Iterator[Any]:
    """Takes all queued messages of an unwatched subscription, oldest first. Not thread-safe.

    Yields nothing once the subscription is destroyed.
    """
    try:
        with subscription.handle:
            while (taken := subscription.handle.take_message(subscription.msg_type, False)) is not None:
                yield taken[0]
    except InvalidHandle:  # destroyed by another thread
        return

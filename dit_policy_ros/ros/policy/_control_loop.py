# SPDX-License-Identifier: Apache-2.0
"""The thread of everything that moves: it ticks at a fixed rate and takes the chunks in between.

It waits for both itself. In an executor, each message and each tick would wait for a pass over all entities
of the node and for a thread of the pool, and chunk and tick would wait for one another's locks.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.subscription import Subscription

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.ros.common import raise_thread_priority, take_messages

_JOIN_TIMEOUT = 5.0  # [s]


@dataclass(frozen=True, slots=True)
class Source:
    """A subscription that no executor watches, and what takes its messages."""

    subscription: Subscription
    on_message: Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Pace:
    """When the thread runs.

    rate: of the ticks [Hz], by the steady clock: they go on when simulated time pauses or the system's clock
    is set. priority: real-time priority of the thread, 0 for none.
    """

    rate: float
    priority: int = 0


class ControlLoop:
    """From configure to cleanup; its thread runs from ``start`` to ``request_stop``."""

    def __init__(self, node: Node, pace: Pace, on_tick: Callable[[], object], source: Source) -> None:
        """Prepare; ``start`` starts the thread.

        Args:
            node: owns the subscription. What a callback raises is raised in its executor.
            pace: see there.
            on_tick: called at each tick.
            source: its messages are taken as soon as they arrive.
        """
        self._period_ns, self._priority = round(NANOSECONDS / pace.rate), pace.priority
        self._on_tick, self._source = on_tick, source
        self._context, self._logger = node.context, node.get_logger()
        self._is_stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None
        self._failed = node.create_guard_condition(self._raise_failure)

    @property
    def is_running(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self.join()
        self._is_stopping.clear()
        thread = threading.Thread(target=self._run, name="control", daemon=True)
        thread.start()
        self._thread = thread  # not before: a thread that could not start cannot be joined

    def request_stop(self) -> None:
        """Let the thread end after what it is doing; returns at once."""
        self._is_stopping.set()

    def join(self) -> None:
        """Stop the thread and wait for its end."""
        self._is_stopping.set()
        if (thread := self._thread) is None or thread is threading.current_thread():
            return
        thread.join(_JOIN_TIMEOUT)
        if thread.is_alive():
            raise RuntimeError(f"the control thread has not ended within {_JOIN_TIMEOUT:g} s")
        self._thread = None

    def _run(self) -> None:
        try:
            if self._priority and (refusal := raise_thread_priority(self._priority)):
                self._logger.warning(f"the control thread runs with normal priority: {refusal}")
            self._loop()
        except Exception as error:  # noqa: BLE001 - it ends the node, as in any other callback
            if self._is_stopping.is_set() and isinstance(error, InvalidHandle):
                return  # the subscription was destroyed meanwhile
            if self._context.ok():  # otherwise the node is ending already
                self._failure = error
                self._failed.trigger()

    def _loop(self) -> None:
        context, subscription = self._context.handle, self._source.subscription
        if context is None:
            raise ValueError("the ROS context is not initialised")
        wait_set = rclpy_implementation.WaitSet(1, 0, 0, 0, 0, 0, context)
        due_ns = time.monotonic_ns() + self._period_ns
        while not self._is_stopping.is_set():
            with subscription.handle:
                wait_set.clear_entities()
                wait_set.add_subscription(subscription.handle)
                wait_set.wait(max(0, due_ns - time.monotonic_ns()))
            now_ns = time.monotonic_ns()
            if now_ns >= due_ns:  # first, and one message at a time: a flood of them keeps no tick waiting
                due_ns += ((now_ns - due_ns) // self._period_ns + 1) * self._period_ns
                self._on_tick()
            message = next(take_messages(subscription), None)
            if message is not None and not self._is_stopping.is_set():
                self._source.on_message(message)

    def _raise_failure(self) -> None:
        if (failure := self._failure) is not None:
            self._failure = None
            raise failure

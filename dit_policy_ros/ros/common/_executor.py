# SPDX-License-Identifier: Apache-2.0
"""rclpy's multi-threaded executor without its busy waiting."""

import time
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.executors import MultiThreadedExecutor

_LOOK = 0.0002  # [s]
_TRIES = 100
_LOOKS = 500  # after 0.1 s something else is wrong, and the executor goes on as it always did


class PatientExecutor(MultiThreadedExecutor):
    """Looks for new work only when the last callback handed over has begun.

    MultiThreadedExecutor of rclpy 9.1 hands a callback to its threads again and again until one of them has
    begun it, and keeps the interpreter from them meanwhile (executors.py: wait_for_ready_callbacks yields
    tasks that do not execute yet). Measured with `make demo` on two quiet cores, rclpy's against this one:
    inference 120 against 37 ms (p50), control interval 77 against 24 ms (p99), 0.89 against 0.45 cores.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._handed_over: Any = None

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> Any:
        """As in the base class, after a moment for the thread that takes the last callback."""
        last = self._handed_over
        for _ in range(_LOOKS):
            if last is None or last.executing() or last.done():
                break
            time.sleep(_LOOK)
        for left in reversed(range(_TRIES)):
            try:
                ready = super().wait_for_ready_callbacks(*args, **kwargs)
                break
            except InvalidHandle:
                # Another thread destroyed something between two looks at it, which rclpy expects of
                # subscriptions and services but not of their events. The next look is without it.
                if not left:
                    raise
        self._handed_over = ready[0]
        return ready

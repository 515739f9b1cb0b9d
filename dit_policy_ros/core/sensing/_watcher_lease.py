# SPDX-License-Identifier: Apache-2.0
"""Who watches the robot, as the panel does: once somebody has begun, his silence is a fault."""

import threading
from collections.abc import Callable

from dit_policy_ros.core.contract import NANOSECONDS

LEFT = "left"  # the word with which a watcher leaves; any other word is a sign of life
_MOST = 16  # watchers; more are a fault of a program that takes a new name each time


class WatcherLease:
    """The signs of life of those who watch. Thread-safe.

    It is a level: somebody who has become silent stays a fault until he speaks again, leaves, or an operator
    goes on without him (``forget_lost``).

    Args:
        steady_ns: a monotonic clock [ns].
    """

    def __init__(self, steady_ns: Callable[[], int]) -> None:
        self._steady_ns = steady_ns
        self._timeout_ns = 2 * NANOSECONDS
        self._lock = threading.Lock()
        self._heard: dict[str, int] = {}  # when each was heard last [ns], by name

    def begin(self, timeout: float) -> None:
        """Motion begins: forget who is silent. timeout: silence that is a fault from now on [s]."""
        with self._lock:
            self._timeout_ns = round(timeout * NANOSECONDS)
        self.forget_lost()

    def hear(self, name: str, word: str) -> None:
        """Note a sign of life of somebody who watches, or that he leaves."""
        with self._lock:
            if word == LEFT:
                self._heard.pop(name, None)
            elif name and (name in self._heard or len(self._heard) < _MOST):
                self._heard[name] = self._steady_ns()

    def fault(self) -> str:
        """Who has become silent, for the reason of a HOLD; empty if nobody has."""
        with self._lock:
            now_ns = self._steady_ns()
            silent = {name: now_ns - heard for name, heard in self._heard.items()}
            lost = [
                f"{name} for {age / NANOSECONDS:.1f} s" for name, age in silent.items() if self._is_lost(age)
            ]
        if not lost:
            return ""
        return f"who was watching the robot is silent: {', '.join(lost)} (heartbeat_timeout)"

    def forget_lost(self) -> None:
        """An operator goes on without those who are silent."""
        with self._lock:
            now_ns = self._steady_ns()
            self._heard = {n: heard for n, heard in self._heard.items() if not self._is_lost(now_ns - heard)}

    def _is_lost(self, age_ns: int) -> bool:
        return age_ns > self._timeout_ns

# SPDX-License-Identifier: Apache-2.0
"""The panel's stop: a level that is sent again until the policy node says that it is latched."""

import time
from collections.abc import Callable

REPEAT = 0.25  # [s] between two requests
_FRESH = 0.15  # [s] after the request, a status was surely published after it (they come at 10 Hz)


class StopLevel:
    """Wanted or not; what was lost on the way is sent again.

    Args:
        send: asks the policy node to latch its e-stop.
        clock: the time now [s].
    """

    def __init__(self, send: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._send = send
        self._clock = clock
        self._pressed = self._sent = float("-inf")  # [s]
        self.wanted = False

    def press(self) -> None:
        """Ask for the stop, now and until it is latched."""
        self.wanted = True
        self._pressed = self._sent = self._clock()
        self._send()

    def release(self) -> None:
        """No longer ask for it."""
        self.wanted = False

    def tick(self, is_latched: bool, heard: float) -> None:
        """Ask again unless the policy node says that it is latched. heard: when it said so, by the clock."""
        if is_latched and heard > self._pressed + _FRESH:
            self.wanted = False  # from now on the node itself keeps it
        elif self.wanted and self._clock() - self._sent >= REPEAT:
            self._sent = self._clock()
            self._send()

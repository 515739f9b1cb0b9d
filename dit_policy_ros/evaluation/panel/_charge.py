# SPDX-License-Identifier: Apache-2.0
"""Which browser is in charge, and whether its connection still lives."""

import threading
import time
from collections.abc import Callable

LOST_AFTER = 2.0  # [s] without a heartbeat, a browser counts as lost


class Charge:
    """One browser is in charge, the others watch.

    Args:
        lost_after: time without a heartbeat after which the browser in charge counts as lost [s].
        clock: the time now [s].
    """

    def __init__(self, lost_after: float = LOST_AFTER, clock: Callable[[], float] = time.monotonic) -> None:
        self._lost_after = lost_after
        self._clock = clock
        self._holder = ""
        self._heard = 0.0  # [s] time of the holder's newest heartbeat
        self._lock = threading.Lock()

    @property
    def holder(self) -> str:
        """The browser in charge; "" if nobody is."""
        return self._holder

    def has(self, browser: str) -> bool:
        """Whether this browser is in charge."""
        return bool(browser) and browser == self._holder

    def beat(self, browser: str) -> bool:
        """Note a sign of life; returns whether the browser is in charge."""
        with self._lock:
            if self.has(browser):
                self._heard = self._clock()
            return self.has(browser)

    def take(self, browser: str, by_force: bool = False) -> bool:
        """Put a browser in charge. False if another one is, and it is not done by force."""
        with self._lock:
            if self._holder and self._holder != browser and not by_force:
                return False
            self._holder, self._heard = browser, self._clock()
            return True

    def release(self, browser: str) -> bool:
        """Nobody is in charge any more. False if this browser was not."""
        with self._lock:
            if not self.has(browser):
                return False
            self._holder = ""
            return True

    def drop_lost(self) -> bool:
        """Release a browser that is lost; returns whether one was."""
        with self._lock:
            lost = bool(self._holder) and self._clock() - self._heard > self._lost_after
            if lost:
                self._holder = ""
            return lost

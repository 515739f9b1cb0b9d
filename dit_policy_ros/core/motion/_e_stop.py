# SPDX-License-Identifier: Apache-2.0
"""The latch of the e-stop: a level, not an event."""

import threading
from collections.abc import Callable


class EStop:
    """A latch, and the lock under which motion reads it. Thread-safe.

    Whoever is about to move the robot takes ``lock``, reads ``latched`` and acts before it releases the lock.
    So there is no moment in which a latched e-stop can be overlooked. The latch outlives whatever it stops.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._is_latched = False
        self._brake: Callable[[], None] | None = None

    @property
    def latched(self) -> bool:
        """Whether the e-stop is latched."""
        return self._is_latched

    def connect(self, brake: Callable[[], None]) -> None:
        """From now on ``brake`` is called, under the lock, each time the e-stop is latched."""
        with self.lock:
            self._brake = brake

    def latch(self) -> None:
        """Latch, and brake before this returns."""
        with self.lock:
            self._is_latched = True
            if self._brake is not None:
                self._brake()

    def clear(self) -> None:
        """Open the latch. Nothing moves because of that."""
        with self.lock:
            self._is_latched = False

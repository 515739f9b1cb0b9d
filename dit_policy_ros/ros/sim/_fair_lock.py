# SPDX-License-Identifier: Apache-2.0
"""A lock that goes to whoever has waited longest.

threading.Lock goes to whoever asks first after its release. That is the thread that has just released it, if
it takes the lock over and over: on a busy computer, a service waited for seconds while the physics stepped.
"""

import threading
from collections import deque


class FairLock:
    """A context manager. Not reentrant."""

    def __init__(self) -> None:
        self._guard = threading.Lock()  # of the fields below
        self._is_held = False
        self._turns: deque[threading.Lock] = deque()  # one per waiting thread; released when it is its turn

    @property
    def waiting(self) -> int:
        """How many threads wait for the lock."""
        return len(self._turns)

    def __enter__(self) -> None:
        with self._guard:
            if not self._is_held:
                self._is_held = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._turns.append(turn)
        turn.acquire()

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._turns:
                self._turns.popleft().release()  # it stays held: by the next thread
            else:
                self._is_held = False

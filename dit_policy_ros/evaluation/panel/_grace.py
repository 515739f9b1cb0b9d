# SPDX-License-Identifier: Apache-2.0
"""What can be undone: an action that waits before it is sent, and an action with its opposite."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

SECONDS = 10.0  # [s] in which an action can be undone


@dataclass(frozen=True, slots=True)
class Undoable:
    """What the operator can still take back.

    act: what happens when the time is over; None if it has happened already. undo: takes it back; None if
    it is enough not to act. deadline: on the clock of the ``Grace`` [s].
    """

    name: str
    deadline: float
    act: Callable[[], None] | None = None
    undo: Callable[[], None] | None = None


class Grace:
    """Holds the last action that can be undone. One at a time: a new one ends the former's time.

    An action that destroys something waits, so undoing it loses nothing. One that only writes a label is
    done at once and has an opposite.

    Args:
        clock: the time now [s].
        seconds: time to undo [s].
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, seconds: float = SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._held: Undoable | None = None
        self._lock = threading.RLock()

    @property
    def held(self) -> Undoable | None:
        """The action that can be undone now."""
        held = self._held
        return held if held is not None and (held.act or self._clock() < held.deadline) else None

    @property
    def waits(self) -> bool:
        """Whether an action waits to be carried out."""
        held = self._held
        return held is not None and held.act is not None

    def remaining(self) -> float:
        """Time left to undo [s]; 0 without such an action."""
        held = self.held
        return max(0.0, held.deadline - self._clock()) if held else 0.0

    def later(self, name: str, act: Callable[[], None]) -> None:
        """Carry out ``act`` when the time is over, unless it is undone. What waited is carried out now."""
        with self._lock:
            self.finish()
            self._held = Undoable(name, self._clock() + self._seconds, act=act)

    def done(self, name: str, undo: Callable[[], None]) -> None:
        """Remember how to take back what was just done. What waited is carried out now."""
        with self._lock:
            self.finish()
            self._held = Undoable(name, self._clock() + self._seconds, undo=undo)

    def undo(self) -> str:
        """Take the last action back; returns its name, or "" if there is none."""
        with self._lock:
            held, self._held = self.held, None
        if held is None:
            return ""
        if held.undo is not None:
            held.undo()
        return held.name

    def finish(self) -> None:
        """Carry out now what waits; it can no longer be undone."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None and held.act is not None:
            held.act()

    def forget(self) -> str:
        """Drop what waits without carrying it out; returns its name, or ""."""
        with self._lock:
            held, self._held = self._held, None
        return held.name if held is not None and held.act is not None else ""

    def tick(self) -> None:
        """Carry out what waits, once its time is over."""
        with self._lock:
            held = self._held
            if held is not None and self._clock() >= held.deadline:
                self.finish()

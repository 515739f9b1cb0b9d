# SPDX-License-Identifier: Apache-2.0
"""Keeps simulated time in step with a clock that may stall or jump."""

from collections import deque
from dataclasses import dataclass

from dit_policy_ros.sim.robot._robot import STEP_NS

MAX_LAG_NS = 250_000_000  # shorter stalls are caught up; after longer ones the simulation's epoch moves
_WINDOW_NS = 2_000_000_000  # averaging time of the real-time factor


@dataclass(frozen=True, slots=True)
class Advance:
    """How to follow the clock.

    steps: physics steps to make now. skip_ns: shift of the simulation's epoch before them; positive when the
    simulation fell behind or the clock jumped ahead, negative when the clock was set back.
    """

    steps: int
    skip_ns: int = 0


def advance(now_ns: int, simulated_ns: int, step_ns: int = STEP_NS) -> Advance:
    """Returns the steps of `step_ns` [ns] that bring simulated time up to the clock, but never past it."""
    lag_ns = now_ns - simulated_ns
    if lag_ns > MAX_LAG_NS or lag_ns < -MAX_LAG_NS:
        return Advance(0, lag_ns)
    return Advance(max(0, lag_ns // step_ns))


class RealTimeFactor:
    """Simulated seconds per second of a steady clock, over the last two seconds."""

    def __init__(self) -> None:
        self._marks: deque[tuple[int, int]] = deque()  # (steady clock [ns], simulated time [ns])

    def mark(self, steady_ns: int, simulated_ns: int) -> None:
        """Record how long the simulation has run so far [ns], at a steady clock reading [ns]."""
        self._marks.append((steady_ns, simulated_ns))
        while steady_ns - self._marks[0][0] > _WINDOW_NS:
            self._marks.popleft()

    @property
    def value(self) -> float:
        """1.0 in real time; 0.0 before two marks exist."""
        if len(self._marks) < 2 or self._marks[-1][0] == self._marks[0][0]:
            return 0.0
        (begun_ns, first), (ended_ns, last) = self._marks[0], self._marks[-1]
        return (last - first) / (ended_ns - begun_ns)

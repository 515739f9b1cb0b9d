# SPDX-License-Identifier: Apache-2.0
"""Notices that the clock by which everything is stamped was set, or stands still.

It is compared with a steady clock. A computer's clock runs at the rate of the steady one; simulated time may
run faster or slower and pause, so only going back and leaps of more than a second are jumps there.
"""

from dataclasses import dataclass

from dit_policy_ros.core.contract import NANOSECONDS

_TOLERANCE_NS = 100_000_000
_SIMULATED_LEAP_NS = NANOSECONDS
_FASTEST_SIMULATION = 20.0  # [times real time]


@dataclass(frozen=True, slots=True)
class Jump:
    """The clock was set: by how much [ns], and what it would read otherwise [ns]."""

    by_ns: int
    expected_ns: int

    def __str__(self) -> str:
        return f"the clock was set {'back' if self.by_ns < 0 else 'ahead'} by {abs(self.by_ns) * 1e-9:.3f} s"


class ClockJumpDetector:
    """Looks at both clocks again and again."""

    def __init__(self, simulated: bool) -> None:
        self._simulated = simulated
        self._now_ns: int | None = None
        self._steady_ns = 0
        self._moved_ns = 0  # steady time at which the clock was last seen to move

    def look(self, now_ns: int, steady_ns: int) -> Jump | None:
        """Whether the clock was set since the last look, given both clocks' readings [ns]."""
        before, steady_before = self._now_ns, self._steady_ns
        self._now_ns, self._steady_ns = now_ns, steady_ns
        if before is None or now_ns != before:
            self._moved_ns = steady_ns
        if before is None:
            return None
        elapsed_ns = steady_ns - steady_before
        jump_ns = now_ns - before - elapsed_ns
        if not self._simulated:
            return Jump(jump_ns, before + elapsed_ns) if abs(jump_ns) > _TOLERANCE_NS else None
        if now_ns < before or now_ns - before > _SIMULATED_LEAP_NS + _FASTEST_SIMULATION * elapsed_ns:
            return Jump(now_ns - before, before)
        return None

    def still_for(self, steady_ns: int) -> float:
        """How long the clock has stood still [s], as far as it was looked at."""
        return (steady_ns - self._moved_ns) / NANOSECONDS

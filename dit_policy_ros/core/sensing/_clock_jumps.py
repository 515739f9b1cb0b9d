# SPDX-License-Identifier: Apache-2.0
"""Detects that the node's clock was set or has stopped, by comparing it with a steady clock.

A computer's clock runs as fast as the steady one. It is allowed to differ a little, and to be set back as far
as the active plan reaches back: then the present time is still within the plan. Simulated time may run at any
rate and pause, so there only a step back, or a step ahead by more than a second, counts as a jump.
"""

from dataclasses import dataclass

from dit_policy_ros.core.contract import NANOSECONDS

_TOLERANCE_NS = 100_000_000
_NOISE_NS = 2_000_000  # between two readings of both clocks
_SIMULATED_TOLERANCE_NS = NANOSECONDS
_FASTEST_SIMULATION = 20.0  # [times real time]


@dataclass(frozen=True, slots=True)
class Jump:
    """A jump of the clock: its size [ns], and the time that the clock would have without it [ns]."""

    by_ns: int
    expected_ns: int

    def __str__(self) -> str:
        return f"the clock was set {'back' if self.by_ns < 0 else 'ahead'} by {abs(self.by_ns) * 1e-9:.3f} s"


class ClockJumpDetector:
    """Compares the node's clock with a steady clock at every update."""

    def __init__(self, simulated: bool) -> None:
        """simulated: whether the node's clock is simulated time."""
        self._simulated = simulated
        self._now_ns: int | None = None
        self._steady_ns = 0
        self._moved_ns = 0  # steady time of the last update at which the clock had moved

    def update(self, now_ns: int, steady_ns: int, begin_ns: int | None = None) -> Jump | None:
        """The jump of the clock since the last update, if any.

        Args:
            now_ns: present time of the node's clock [ns].
            steady_ns: present time of the steady clock [ns].
            begin_ns: before this time, any step back is a jump [ns]: the active plan begins then.
        """
        before, steady_before = self._now_ns, self._steady_ns
        self._now_ns, self._steady_ns = now_ns, steady_ns
        if before is None or now_ns != before:
            self._moved_ns = steady_ns
        if before is None:
            return None
        elapsed_ns = steady_ns - steady_before
        jump_ns = now_ns - before - elapsed_ns
        if not self._simulated:
            is_before = begin_ns is not None and now_ns < begin_ns and jump_ns < -_NOISE_NS
            is_jump = abs(jump_ns) > _TOLERANCE_NS or is_before
            return Jump(jump_ns, before + elapsed_ns) if is_jump else None
        if now_ns < before or now_ns - before > _SIMULATED_TOLERANCE_NS + _FASTEST_SIMULATION * elapsed_ns:
            return Jump(now_ns - before, before)
        return None

    def stopped_for(self, steady_ns: int) -> float:
        """How long the clock has been stopped [s], as of the last update."""
        return (steady_ns - self._moved_ns) / NANOSECONDS

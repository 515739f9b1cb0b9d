# SPDX-License-Identifier: Apache-2.0
"""The trajectory that a controller executes, sampled as joint_trajectory_controller samples it."""

import numpy as np

from dit_policy_ros.sim.controllers._trajectory import Knot, Segment, segment_between

_APPROACH = -1  # index of the segment from the state before the message to its first knot


class RunningTrajectory:
    """Knots on the controller's clock, and the state from which the first one is approached."""

    def __init__(self, knots: list[Knot], before: Knot) -> None:
        self.knots = knots
        self._before = before
        self._cursor = 0  # the search starts here: knots before it are never found again
        self._segment: Segment | None = None
        self._segment_index = _APPROACH

    def advance(self, time_ns: int) -> None:
        """The controller has reached this instant."""
        if time_ns >= self.knots[0].time_ns and time_ns >= self._before.time_ns:
            self._cursor = self._find(time_ns)

    def position(self, time_ns: int) -> np.ndarray | None:
        """Returns the position (A,) at an instant, a fresh array; None before the message came."""
        if time_ns < self._before.time_ns:
            return None  # the clock was set back
        segment = self._segment_at(time_ns)
        return self.knots[-1].position.copy() if segment is None else segment.position(time_ns)

    def sample(self, time_ns: int) -> Knot | None:
        """Returns position, velocity and acceleration at an instant; None before the message came."""
        if time_ns < self._before.time_ns:
            return None
        segment = self._segment_at(time_ns)
        if segment is not None:
            return segment.sample(time_ns)
        last, zero = self.knots[-1], np.zeros_like(self.knots[-1].position)
        return Knot(
            time_ns,
            last.position.copy(),
            zero if last.velocity is None else last.velocity,
            zero if last.acceleration is None else last.acceleration,
        )

    def _segment_at(self, time_ns: int) -> Segment | None:
        """Returns the segment that holds an instant; None after the last knot."""
        index = _APPROACH if time_ns < self.knots[0].time_ns else self._find(time_ns)
        if index == len(self.knots) - 1:
            return None
        if self._segment is None or self._segment_index != index:
            start = self._before if index == _APPROACH else self.knots[index]
            self._segment, self._segment_index = segment_between(start, self.knots[index + 1]), index
        return self._segment

    def _find(self, time_ns: int) -> int:
        """Returns the index of the knot at or before an instant."""
        last, index = len(self.knots) - 1, self._cursor
        # As in the real one, a clock set back to before a finished segment leads to the last knot.
        if time_ns < self.knots[index].time_ns:
            return last
        while index < last and time_ns >= self.knots[index + 1].time_ns:
            index += 1
        return index

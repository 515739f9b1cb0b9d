# SPDX-License-Identifier: Apache-2.0
"""Which position a trajectory controller was told to be at, at any time: the action of a demonstration.

The semantics are those of ros2_control's joint_trajectory_controller: the newest message replaces the one
before as it arrives; ahead of its first point the controller moves there from where it was; after its last
point it stays there. Positions alone are joined by straight lines, positions with velocities by cubics.
"""

import threading
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

import numpy as np

from dit_policy_ros.core.contract import NANOSECONDS, Controller


@dataclass(frozen=True, slots=True, eq=False)
class CommandedTrajectory:
    """One accepted message of one controller, joints in the contract's order of that controller.

    received_ns: when it arrived, by our clock [ns]. start: where the joints were then.
    times_ns: when the points are due [ns], increasing. velocities: None where the message has none.
    """

    received_ns: int
    start: np.ndarray  # (A_c,)
    times_ns: np.ndarray  # (K,) int64
    positions: np.ndarray  # (K, A_c)
    velocities: np.ndarray | None  # (K, A_c)

    def at(self, time_ns: int) -> np.ndarray:
        """The commanded position at a time [ns] at which this trajectory is in force, (A_c,)."""
        index = int(np.searchsorted(self.times_ns, time_ns, side="right"))
        if index == len(self.times_ns):
            return self.positions[-1].copy()
        if index == 0:
            return self._approach(time_ns)
        left, right = int(self.times_ns[index - 1]), int(self.times_ns[index])
        span = (right - left) / NANOSECONDS  # [s]
        s = (time_ns - left) / (right - left)  # 0..1
        p0, p1 = self.positions[index - 1], self.positions[index]  # (A_c,)
        if self.velocities is None:
            return p0 + s * (p1 - p0)
        v0, v1 = self.velocities[index - 1] * span, self.velocities[index] * span  # (A_c,)
        # Cubic Hermite polynomial through both positions and velocities.
        a, b = 2 * (p0 - p1) + v0 + v1, 3 * (p1 - p0) - 2 * v0 - v1
        return p0 + s * (v0 + s * (b + s * a))

    def _approach(self, time_ns: int) -> np.ndarray:
        """From the start to the first point in a straight line: the velocity at the start is not known."""
        first = int(self.times_ns[0])
        if first <= self.received_ns or time_ns <= self.received_ns:
            return self.start.copy() if time_ns <= self.received_ns else self.positions[0].copy()
        s = (time_ns - self.received_ns) / (first - self.received_ns)
        return self.start + s * (self.positions[0] - self.start)


class CommandStream:
    """The trajectories of one controller, for questions about the last `keep` seconds; thread-safe."""

    def __init__(self, controller: Controller, keep: float) -> None:
        self.controller = controller
        self._keep_ns = round(keep * NANOSECONDS)
        self._lock = threading.Lock()
        self._trajectories: deque[CommandedTrajectory] = deque()

    def push(self, trajectory: CommandedTrajectory) -> None:
        """Takes a message that the controller accepts; it replaces the one before as of its arrival."""
        with self._lock:
            if self._trajectories and trajectory.received_ns < self._trajectories[-1].received_ns:
                self._trajectories.clear()  # our clock was set back: they belong to another timeline
            self._trajectories.append(trajectory)
            # The one in force at the beginning of the window stays, however old it is.
            oldest = trajectory.received_ns - self._keep_ns
            while len(self._trajectories) > 1 and self._trajectories[1].received_ns <= oldest:
                self._trajectories.popleft()

    def at(self, time_ns: int) -> np.ndarray | None:
        """The command in force at a time [ns], (A_c,); None before the first one."""
        with self._lock:
            index = bisect_right(self._trajectories, time_ns, key=lambda trajectory: trajectory.received_ns)
            trajectory = self._trajectories[index - 1] if index > 0 else None
        return None if trajectory is None else trajectory.at(time_ns)

    def clear(self) -> None:
        """Forgets all commands."""
        with self._lock:
            self._trajectories.clear()

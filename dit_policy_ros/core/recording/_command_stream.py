# SPDX-License-Identifier: Apache-2.0
"""The commanded position of a trajectory controller at any time: the action of a demonstration.

The semantics are those of ros2_control's joint_trajectory_controller: a new message replaces the former one
when it arrives; before the first point the controller moves there from its present position; after the last
point it stays there. Positions are interpolated linearly, positions with velocities by cubics.
"""

import threading
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from dit_policy_ros.core.contract import NANOSECONDS, Controller
from dit_policy_ros.core.sensing import StreamCounters


@dataclass(frozen=True, slots=True, eq=False)
class CommandedTrajectory:
    """One accepted message of one controller, its joints in the order of the contract.

    received_ns: when it arrived, by our clock [ns]. start: the joint positions at that time.
    times_ns: times of the points [ns], increasing. velocities: None if the message has none.
    """

    received_ns: int
    start: np.ndarray  # (A_c,)
    times_ns: np.ndarray  # (K,) int64
    positions: np.ndarray  # (K, A_c)
    velocities: np.ndarray | None  # (K, A_c)

    def at(self, time_ns: int) -> np.ndarray:
        """The commanded position at a time [ns] when this trajectory is active, (A_c,)."""
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
        """Linear from the start to the first point, because the velocity at the start is not known."""
        first = int(self.times_ns[0])
        if first <= self.received_ns or time_ns <= self.received_ns:
            return self.start.copy() if time_ns <= self.received_ns else self.positions[0].copy()
        s = (time_ns - self.received_ns) / (first - self.received_ns)
        return self.start + s * (self.positions[0] - self.start)


class CommandStream:
    """The trajectories of one controller in the last `keep` seconds; thread-safe."""

    def __init__(self, controller: Controller, keep: float) -> None:
        self.controller = controller
        self._keep_ns = round(keep * NANOSECONDS)
        self._lock = threading.Lock()
        self._trajectories: deque[CommandedTrajectory] = deque()
        self._refused_ns: deque[int] = deque()  # when messages came that could not be used [ns]
        self.counters = StreamCounters()
        self.refusal = ""  # why the last of these could not be used

    @property
    def topic(self) -> str:
        """Topic of the commands."""
        return self.controller.topic

    @property
    def topics(self) -> tuple[str, ...]:
        """The one topic of the commands."""
        return (self.topic,)

    def push(self, trajectory: CommandedTrajectory) -> None:
        """Adds a message that the controller accepts; it replaces the former one when it arrives."""
        with self._lock:
            if self._trajectories and trajectory.received_ns < self._trajectories[-1].received_ns:
                self._trajectories.clear()  # our clock was set back: they belong to the old timeline
                self._refused_ns.clear()
            self._trajectories.append(trajectory)
            self.counters = replace(self.counters, accepted=self.counters.accepted + 1)
            # Keep the one that is active at the beginning of the window, however old it is.
            oldest = trajectory.received_ns - self._keep_ns
            while len(self._trajectories) > 1 and self._trajectories[1].received_ns <= oldest:
                self._trajectories.popleft()

    def at(self, time_ns: int) -> np.ndarray | None:
        """The commanded position at a time [ns], (A_c,); None before the first command."""
        with self._lock:
            index = bisect_right(self._trajectories, time_ns, key=lambda trajectory: trajectory.received_ns)
            trajectory = self._trajectories[index - 1] if index > 0 else None
        return None if trajectory is None else trajectory.at(time_ns)

    def refuse(self, reason: str, received_ns: int) -> None:
        """Notes a message that cannot be used. The controller may follow it, so the action is not known."""
        with self._lock:
            self.counters, self.refusal = replace(self.counters, refused=self.counters.refused + 1), reason
            self._refused_ns.append(received_ns)
            while self._refused_ns[0] < received_ns - self._keep_ns:
                self._refused_ns.popleft()

    def is_known(self, time_ns: int) -> bool:
        """Whether the last message until a time [ns] could be used."""
        with self._lock:
            refused = [received_ns for received_ns in self._refused_ns if received_ns <= time_ns]
            index = bisect_right(self._trajectories, time_ns, key=lambda trajectory: trajectory.received_ns)
            accepted_ns = self._trajectories[index - 1].received_ns if index > 0 else None
        return not refused or (accepted_ns is not None and accepted_ns >= refused[-1])

    def clear(self) -> None:
        """Drops all commands."""
        with self._lock:
            self._trajectories.clear()
            self._refused_ns.clear()

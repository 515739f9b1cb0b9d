# SPDX-License-Identifier: Apache-2.0
"""A stream of single commands as a path that a plan can follow.

A control loop that sends one pose per period says nothing of the future. A plan that went to each pose as
fast as it may would start and stop all the time. So the poses are executed a little later, each as long after
it was given: then the plan knows the way ahead, and follows it at the speed of the stream.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.continuous_joints import nearest_turn

_GAP = 2.5  # [periods] between two commands after which the first one was held meanwhile


class CommandPlayback:
    """Where the joints should be at a time, from the commands so far. Not thread-safe."""

    def __init__(
        self, period_ns: int, delay_ns: int, keep_ns: int, continuous: NDArray[np.bool_] | None = None
    ) -> None:
        """Begin without commands.

        Args:
            period_ns: usual time between two commands [ns].
            delay_ns: from a command to its execution [ns].
            keep_ns: how long commands are kept after their execution [ns].
            continuous: (A,) the joints for which a whole turn more is the same place; None for none.
        """
        self._continuous = np.zeros(1, dtype=bool) if continuous is None else continuous
        self._period_ns, self._delay_ns, self._keep_ns = period_ns, delay_ns, keep_ns
        self._points: deque[tuple[int, NDArray[np.float64]]] = deque()  # execution time [ns], pose (A,)
        self._newest_ns: int | None = None

    @property
    def newest_ns(self) -> int | None:
        """When the newest command was given [ns]; None since ``stand``."""
        return self._newest_ns

    def stand(self, pose: NDArray[np.float64], now_ns: int) -> None:
        """Forget all commands: the joints stand at a pose (A,)."""
        self._points = deque([(now_ns, np.array(pose, np.float64))])
        self._newest_ns = None

    def add(self, pose: NDArray[np.float64], now_ns: int) -> None:
        """Add a command (A,), given now [ns]. If the clock was set back, earlier ones are forgotten.

        A continuous joint takes the short way from one command to the next.
        """
        at_ns = now_ns + self._delay_ns
        if self._points:
            pose = nearest_turn(np.asarray(pose, np.float64), self._points[-1][1], self._continuous)
        while self._points and self._points[-1][0] >= at_ns:
            self._points.pop()
        if self._points and at_ns - self._points[-1][0] > _GAP * self._period_ns:
            self._points.append((at_ns - self._period_ns, self._points[-1][1]))
        self._points.append((at_ns, np.array(pose, np.float64)))
        self._newest_ns = now_ns
        while len(self._points) > 1 and self._points[1][0] < now_ns - self._keep_ns:
            self._points.popleft()

    def at(self, times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Where the joints should be at ``times_ns`` (K,) -> (K, A); after the last command it is held.

        Raises:
            ValueError: there is no command, and no pose to stand at.
        """
        if not self._points:
            raise ValueError("no command and no pose: call stand first")
        base = self._points[0][0]
        known = np.array([each - base for each, _ in self._points], np.float64)  # (P,)
        poses = np.stack([pose for _, pose in self._points])  # (P, A)
        times = (times_ns - base).astype(np.float64)  # (K,)
        return np.stack([np.interp(times, known, column) for column in poses.T], axis=1)

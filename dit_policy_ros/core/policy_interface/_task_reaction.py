# SPDX-License-Identifier: Apache-2.0
"""Detects a policy that ignores a change of the task, from the chunks that it predicts anyway.

Consecutive chunks differ a little where they overlap, because the scene has changed and the noise is new. The
first chunk of a new task should differ more than that. If it does not, the policy probably ignores the
instruction and continues the former task.
"""

import math

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.motion import Chunk
from dit_policy_ros.core.statistics import RecentValues

_MIN_DIFFERENCES = 10  # of one task, before their percentile means anything


class TaskReaction:
    """Compares each chunk with the one before it.

    Attributes:
        baseline: 95th percentile of the differences within the former task [rad]; NaN if there were too few.
        reaction: difference at the last change of the task [rad]; NaN before the first change.
    """

    def __init__(self, joints: NDArray[np.bool_]) -> None:
        """joints: bool (A,), which ones are compared. Leave out grippers: they jump from open to closed."""
        self.baseline = self.reaction = math.nan
        self._joints = joints
        self._differences = RecentValues(100)
        self._previous: tuple[Chunk, str] | None = None

    @property
    def is_ignored(self) -> bool:
        """Whether the last change of the task changed the chunk no more than usual."""
        return self.reaction <= self.baseline  # false if either is NaN

    def add(self, chunk: Chunk, task: str) -> None:
        """Add a chunk and the task that it was inferred for."""
        before, self._previous = self._previous, (chunk, task)
        if before is None:
            return
        difference = self._difference(before[0], chunk)
        if math.isnan(difference):
            return
        if before[1] == task:
            self._differences.add(difference)
            return
        enough = len(self._differences) >= _MIN_DIFFERENCES
        self.baseline = self._differences.percentile(95) if enough else math.nan
        self.reaction = difference
        self._differences = RecentValues(100)

    def _difference(self, before: Chunk, chunk: Chunk) -> float:
        """RMS difference over the overlap of two chunks [rad]; NaN if they do not overlap."""
        times_ns = chunk.stamp_ns + chunk.period_ns * np.arange(len(chunk.actions), dtype=np.int64)  # (T,)
        covered = before.covers(times_ns)  # (T,)
        if not covered.any():
            return math.nan
        difference = (chunk.actions[covered] - before.at(times_ns[covered]))[:, self._joints]
        return float(np.sqrt(np.mean(difference**2)))

# SPDX-License-Identifier: Apache-2.0
"""Does the policy answer differently when it is told another task? Judged from the chunks that pass anyway.

Two chunks that follow one another disagree a little where they overlap: the scene has changed, the noise is
another. The first chunk of a new task should disagree more than that. Where it does not, the instruction is
probably ignored, and the robot goes on with the task before.
"""

import math

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.motion import Chunk
from dit_policy_ros.core.statistics import RecentValues

_ENOUGH = 10  # chunks of one task before what is usual is known


class TaskReaction:
    """Compares each chunk with the one before it.

    Attributes:
        usual: 95th percentile of the differences within a task, as it was at the last change [rad].
        reaction: difference at the last change of the task [rad]; NaN before the first.
    """

    def __init__(self, joints: NDArray[np.bool_]) -> None:
        """joints: (A,) those that are compared; grippers snap, so they should be left out."""
        self.usual = self.reaction = math.nan
        self._joints = joints
        self._differences = RecentValues(100)
        self._previous: tuple[Chunk, str] | None = None

    @property
    def ignored(self) -> bool:
        """Whether the last change of the task made no more difference than the next chunk does."""
        return self.reaction <= self.usual  # false where either is NaN

    def add(self, chunk: Chunk, task: str) -> None:
        """Take in a chunk and the task that it was inferred for."""
        before, self._previous = self._previous, (chunk, task)
        if before is None:
            return
        difference = self._difference(before[0], chunk)
        if math.isnan(difference):
            return
        if before[1] == task:
            self._differences.add(difference)
            return
        enough = len(self._differences) >= _ENOUGH
        self.usual = self._differences.percentile(95) if enough else math.nan
        self.reaction = difference
        self._differences = RecentValues(100)

    def _difference(self, before: Chunk, chunk: Chunk) -> float:
        """RMS over the overlap of two chunks [rad]; NaN where there is none."""
        times_ns = chunk.stamp_ns + chunk.period_ns * np.arange(len(chunk.actions), dtype=np.int64)  # (T,)
        covered = before.covers(times_ns)  # (T,)
        if not covered.any():
            return math.nan
        apart = (chunk.actions[covered] - before.at(times_ns[covered]))[:, self._joints]
        return float(np.sqrt(np.mean(apart**2)))

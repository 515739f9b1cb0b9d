# SPDX-License-Identifier: Apache-2.0
"""Which frames an example observes, and which actions it commands.

Shapes: M frames of all episodes, K frames that are no pause, B batch, S observation steps, T horizon.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.data.dataset import Demonstrations


@dataclass(frozen=True, slots=True)
class Windows:
    """The frames of a batch of examples."""

    observed: NDArray[np.int64]  # (B, S)
    commanded: NDArray[np.int64]  # (B, T)
    is_pad: NDArray[np.bool_]  # (B, T) outside the episode, or under another instruction


class WindowIndex:
    """Finds the frames around the newest observed frame of each example."""

    def __init__(
        self, data: Demonstrations, non_idle: NDArray[np.bool_], n_obs_steps: int, horizon: int
    ) -> None:
        """Index the episodes.

        Args:
            data: the demonstrations.
            non_idle: (M,) frames that are no pause; actions of the others are not commanded.
            n_obs_steps: S.
            horizon: T.
        """
        self._steps, self._horizon = n_obs_steps, horizon
        self._episodes = data.episode_starts()
        # An action under another instruction is no answer to a frame's.
        self._instructions = data.instruction_starts()
        # Without pauses each frame is its own position, which needs no memory.
        self._pauses = None if non_idle.all() else _Pauses(non_idle)

    @property
    def commanded_frames(self) -> NDArray[np.int64]:
        """The frames (K,) whose actions are commanded."""
        return np.arange(self._episodes.frames) if self._pauses is None else self._pauses.commanded

    def windows(self, newest: NDArray[np.int64]) -> Windows:
        """The frames around each newest observed frame (B,), repeated at the episode's ends as in LeRobot.

        Observed frames include pauses, commanded frames skip them. A chunk also ends where the instruction
        changes; what was observed before the change remains observed.
        """
        first, last = (bound[:, None] for bound in self._episodes.bounds(newest))  # (B, 1) both
        observed = newest[:, None] + np.arange(1 - self._steps, 1)  # (B, S)
        steps = np.arange(1 - self._steps, 1 - self._steps + self._horizon)  # (T,)
        begin, end = (bound[:, None] for bound in self._instructions.bounds(newest))  # (B, 1) both
        position = newest[:, None]  # (B, 1)
        if self._pauses is not None:
            position, begin, end = (
                self._pauses.before[position],
                self._pauses.after[begin],
                self._pauses.before[end],
            )
        position = position + steps  # (B, T)
        is_pad = (position < begin) | (position > end)
        commanded = np.clip(position, begin, end)
        if self._pauses is not None:
            commanded = self._pauses.commanded[commanded]
        return Windows(np.clip(observed, first, last), commanded, is_pad)


class _Pauses:
    """Positions of the frames among those that are no pause.

    Attributes:
        commanded: (K,) the frames that are no pause.
        before: (M,) position of each frame in ``commanded``; of a pause: the position before it.
        after: (M,) the same, but of a pause: the position after it.
    """

    def __init__(self, non_idle: NDArray[np.bool_]) -> None:
        self.commanded = np.flatnonzero(non_idle)
        count = np.cumsum(non_idle)
        self.before, self.after = np.maximum(count - 1, 0), count - non_idle

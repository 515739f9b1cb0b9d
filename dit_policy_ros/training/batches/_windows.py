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
    is_pad: NDArray[np.bool_]  # (B, T) outside the episode


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
        self._first, self._last = data.episode_bounds()  # (M,) of each frame's episode
        self.commanded_frames = np.flatnonzero(non_idle)  # (K,)
        # (M,) position of each frame among commanded_frames; of a pause: the position before it.
        self._position = np.maximum(np.cumsum(non_idle) - 1, 0)

    def windows(self, newest: NDArray[np.int64]) -> Windows:
        """The frames around each newest observed frame (B,), repeated at the episode's ends as in LeRobot.

        Observed frames include pauses, commanded frames skip them.
        """
        first, last = self._first[newest][:, None], self._last[newest][:, None]  # (B, 1)
        observed = newest[:, None] + np.arange(1 - self._steps, 1)  # (B, S)
        steps = np.arange(1 - self._steps, 1 - self._steps + self._horizon)  # (T,)
        position = self._position[newest][:, None] + steps  # (B, T)
        begin, end = self._position[first], self._position[last]  # (B, 1)
        is_pad = (position < begin) | (position > end)
        commanded = self.commanded_frames[np.clip(position, begin, end)]
        return Windows(np.clip(observed, first, last), commanded, is_pad)

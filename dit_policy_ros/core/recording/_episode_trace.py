# SPDX-License-Identifier: Apache-2.0
"""A record of an episode's frames without the images, for the check of its quality."""

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

JOINTS, ACTION = "joint_states", "action"  # names of streams without new samples, beside the cameras


class EpisodeTrace:
    """One row per frame. The array properties are copies of all rows so far.

    Args:
        fps: frames per second [Hz].
        cameras: names, in the order in which stamps are added.
    """

    def __init__(self, fps: float, cameras: Sequence[str]) -> None:
        self.fps = fps
        self.cameras = tuple(cameras)
        self._stamps = array("q")
        self._image_stamps = array("q")
        self._states: list[np.ndarray] = []
        self._actions: list[np.ndarray] = []
        self._repeated: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._stamps)

    def add(
        self,
        stamp_ns: int,
        state: np.ndarray,
        action: np.ndarray,
        image_stamps_ns: Iterable[int],
        repeated: Iterable[str],
    ) -> None:
        """Appends a frame.

        Args:
            stamp_ns: its time [ns].
            state, action: joint positions and command, (D,) [rad or m].
            image_stamps_ns: the stamps of its images, in the order of the cameras [ns].
            repeated: streams without a new sample.
        """
        for name in repeated:
            self._repeated.setdefault(name, []).append(len(self))
        self._stamps.append(stamp_ns)
        self._image_stamps.extend(image_stamps_ns)
        self._states.append(state)
        self._actions.append(action)

    def mark_repeated(self, name: str, frames: Iterable[int]) -> None:
        """Mark frames as without a new sample of a stream, which turned out only after they were added."""
        known = self._repeated.get(name, [])
        if added := set(frames) - set(known):
            self._repeated[name] = sorted([*known, *added])

    def share_repeated(self, name: str) -> float:
        """The part of the frames without a new sample of a stream."""
        return len(self._repeated.get(name, ())) / max(1, len(self))

    def replaced(self, state: NDArray[np.float64], action: NDArray[np.float64]) -> "EpisodeTrace":
        """A copy with other states and actions, (N, D) each."""
        result = EpisodeTrace(self.fps, self.cameras)
        result._stamps, result._image_stamps = self._stamps, self._image_stamps
        result._states, result._actions, result._repeated = list(state), list(action), self._repeated
        return result

    @property
    def stamps_ns(self) -> NDArray[np.int64]:
        """(N,) [ns]."""
        return np.array(self._stamps, dtype=np.int64)

    @property
    def image_stamps_ns(self) -> NDArray[np.int64]:
        """(N, C) [ns], one column per camera."""
        return np.array(self._image_stamps, dtype=np.int64).reshape(len(self), len(self.cameras))

    @property
    def state(self) -> NDArray[np.float64]:
        """(N, D) [rad or m]."""
        return np.array(self._states, dtype=np.float64)

    @property
    def action(self) -> NDArray[np.float64]:
        """(N, D) [rad or m]."""
        return np.array(self._actions, dtype=np.float64)

    @property
    def repeated(self) -> dict[str, NDArray[np.int64]]:
        """By stream, the frames that repeat its last sample; only streams with such frames."""
        return {name: np.array(frames, dtype=np.int64) for name, frames in self._repeated.items()}

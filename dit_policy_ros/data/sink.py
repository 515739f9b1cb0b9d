# SPDX-License-Identifier: Apache-2.0
"""What the recorder needs of whatever keeps its episodes."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class EpisodeSink(Protocol):
    """Takes the frames of one episode at a time and keeps or forgets them as a whole.

    All methods are called from one thread. All may raise DatasetError.
    """

    @property
    def next_index(self) -> int:
        """Index that the running episode, or the next one, will have."""
        ...

    def begin_episode(self) -> None:
        """Opens whatever an episode needs, so that the first frame does not wait."""
        ...

    def add_frame(
        self, images: Mapping[str, np.ndarray], state: np.ndarray, action: np.ndarray, task: str
    ) -> None:
        """Appends a frame: uint8 (h, w, 3) RGB per camera, state (D,) and action (A,) [rad or m]."""
        ...

    def save_episode(self) -> int:
        """Keeps the episode; when this returns its index, the episode survives the end of the process."""
        ...

    def discard_episode(self) -> None:
        """Forgets the episode: nothing of it is seen again."""
        ...

    def finalize(self) -> None:
        """Closes everything; an episode that was not saved is forgotten."""
        ...

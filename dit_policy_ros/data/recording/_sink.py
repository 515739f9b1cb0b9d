# SPDX-License-Identifier: Apache-2.0
"""The interface through which the recorder stores episodes."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np

from dit_policy_ros.data.recording._journal_format import CameraHealth, EpisodeOutcome
from dit_policy_ros.data.video import CameraImage


class EpisodeSink(Protocol):
    """Takes the frames of one episode at a time, then saves or discards the episode.

    Call all methods from one thread. All may raise DatasetError; frames added before that are not lost.
    """

    @property
    def episode_bytes(self) -> int:
        """Current size of the running episode on the disk [byte]."""
        ...

    @property
    def jpeg_cameras(self) -> Collection[str]:
        """Cameras whose images `add_frame` takes as the bytes of a JPEG."""
        ...

    @property
    def pending_commits(self) -> int:
        """Number of saved episodes that are safe, but not in the dataset's files yet."""
        ...

    @property
    def commit_failure(self) -> str | None:
        """Why a saved episode could not be committed, or None; it is tried again."""
        ...

    @property
    def interrupted(self) -> Sequence[object]:
        """Episodes that a crash interrupted and that wait for a decision; `str` describes each."""
        ...

    @property
    def next_index(self) -> int:
        """Index of the running episode, or else of the next one."""
        ...

    def begin_episode(self) -> None:
        """Opens the episode's files, so that the first frame need not wait."""
        ...

    def add_frame(
        self,
        images: Mapping[str, CameraImage],
        state: np.ndarray,
        action: np.ndarray,
        task: str,
        stamp_ns: int = 0,
        repeated: Collection[str] = (),
    ) -> None:
        """Appends a frame.

        Args:
            images: by camera name, uint8 (h, w, 3) RGB; for `jpeg_cameras` the bytes of a JPEG.
            state: joint positions (D,) [rad or m].
            action: commanded joint positions (D,) [rad or m].
            task: the current instruction.
            stamp_ns: time of the frame [ns].
            repeated: streams without a new sample, which repeat the previous one: cameras, `joint_states`,
                `action`.
        """
        ...

    def end_episode(self) -> dict[str, CameraHealth]:
        """Waits until all frames are written; add no more. By camera name. May be called again."""
        ...

    def save_episode(self, outcome: EpisodeOutcome = ...) -> int:
        """Saves the episode and returns its index. From then on it survives a loss of power."""
        ...

    def resolve_interrupted(self, keep: bool) -> int:
        """Saves or removes the episodes that a crash interrupted; returns how many there were."""
        ...

    def discard_episode(self) -> None:
        """Removes the running episode."""
        ...

    def finalize(self) -> None:
        """Commits everything and closes the files. A running episode counts as interrupted."""
        ...

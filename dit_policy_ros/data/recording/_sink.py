# SPDX-License-Identifier: Apache-2.0
"""The interface through which the recorder stores episodes."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np

from dit_policy_ros.data.recording._journal_format import EndedEpisode, EpisodeOutcome
from dit_policy_ros.data.video import CameraImage


class EpisodeSink(Protocol):
    """Takes the frames of one episode at a time, then saves or discards the episode.

    Call all methods from one thread. All may raise DatasetError; the frames in the files are not lost then.
    """

    @property
    def episode_bytes(self) -> int:
        """Current size of the running episode on the disk [byte]."""
        ...

    @property
    def queued_images(self) -> int:
        """Images of the running episode that wait for the encoder of the camera that has most of them."""
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
    def quarantined(self) -> Sequence[object]:
        """Saved episodes that cannot be added to the dataset; `str` says where they are and why."""
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
        vectors: Mapping[str, np.ndarray] = MappingProxyType({}),
        controller: str | None = None,
    ) -> None:
        """Appends a frame.

        Args:
            images: by camera name, uint8 (h, w, 3) RGB; for `jpeg_cameras` the bytes of a JPEG; for depth
                cameras (h, w, 1), uint16 [mm] or float32 [m].
            state: joint positions (D,) [rad or m].
            action: commanded joint positions (D,) [rad or m].
            task: the current instruction.
            stamp_ns: time of the frame [ns].
            repeated: streams without a new sample, which repeat the previous one: cameras, `joint_states`,
                `action`, further vectors.
            vectors: the further vectors by name, (K,) each.
            controller: who drove the arms; given if the sink records it.
        """
        ...

    def end_episode(self) -> EndedEpisode:
        """Waits until all frames are written, and counts them; add no more. May be called again."""
        ...

    def save_episode(self, outcome: EpisodeOutcome = ...) -> int:
        """Saves the episode and returns its index. From then on it survives a loss of power."""
        ...

    def resolve_interrupted(self, keep: bool) -> int:
        """Saves or removes the episodes that a crash interrupted; returns how many there were."""
        ...

    def relabel(self, index: int, success: bool | None, task: str) -> None:
        """Changes label (None leaves it) and instruction (empty leaves it) of an episode in the dataset."""
        ...

    def discard_episode(self) -> None:
        """Removes the running episode."""
        ...

    def finalize(self) -> None:
        """Commits everything and closes the files. A running episode counts as interrupted."""
        ...

# SPDX-License-Identifier: Apache-2.0
"""What the recorder needs of whatever keeps its episodes."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np

from dit_policy_ros.data.recording._journal import CameraHealth, EpisodeLabel
from dit_policy_ros.data.video import CameraImage


class EpisodeSink(Protocol):
    """Takes the frames of one episode at a time and keeps or forgets them as a whole.

    All methods are called from one thread. All may raise DatasetError; what was added before then is not
    lost.
    """

    @property
    def episode_bytes(self) -> int:
        """Size of the running episode on the disk so far [byte]."""
        ...

    @property
    def jpeg_cameras(self) -> Collection[str]:
        """Cameras whose JPEG images are wanted as they came."""
        ...

    @property
    def waiting(self) -> int:
        """Saved episodes that are safe, but not where others can read them yet."""
        ...

    @property
    def commit_failure(self) -> str | None:
        """Why that is so, if something went wrong."""
        ...

    @property
    def interrupted(self) -> Sequence[object]:
        """Episodes that a crash interrupted and that wait for a decision; their text describes them."""
        ...

    @property
    def next_index(self) -> int:
        """Index that the running episode, or the next one, will have."""
        ...

    def begin_episode(self) -> None:
        """Opens whatever an episode needs, so that the first frame does not wait."""
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
            images: by camera name, uint8 (h, w, 3) RGB; of `jpeg_cameras` the bytes of a JPEG.
            state: joint positions (D,) [rad or m].
            action: commanded joint positions (D,) [rad or m].
            task: the instruction in force.
            stamp_ns: time of the frame [ns].
            repeated: streams of which no sample was there, so that the one before is repeated: cameras,
                `joint_states`, `action`.
        """
        ...

    def end_episode(self) -> dict[str, CameraHealth]:
        """No more frames come; waits until all are written. May be called again."""
        ...

    def save_episode(self, label: EpisodeLabel = ...) -> int:
        """Keeps the episode; when this returns its index, the episode survives a loss of power."""
        ...

    def resolve_interrupted(self, keep: bool) -> int:
        """Keeps or removes the episodes that a crash interrupted; returns how many there were."""
        ...

    def discard_episode(self) -> None:
        """Forgets the episode: nothing of it is seen again."""
        ...

    def finalize(self) -> None:
        """Finishes everything; an episode without a decision is treated as if the process had ended."""
        ...

# SPDX-License-Identifier: Apache-2.0
"""Demonstrations in memory: all frames of one or several datasets.

Shapes: M frames of all episodes in order, D state entries with those of the further vectors, A action
entries.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.data.description import VectorFeature

if TYPE_CHECKING:  # data.video imports torch
    from dit_policy_ros.data.video import CameraImages, RandomImages

_PART = 1 << 20  # rows that are checked at once
STATISTICS = ("min", "max", "mean", "std", "q01", "q10", "q90", "q99")


@dataclass(frozen=True, slots=True)
class Source:
    """One of the datasets that demonstrations were read from, and where its rows begin."""

    name: str
    first_frame: int = 0  # row in the demonstrations
    first_episode: int = 0  # episode in the demonstrations
    content: str = ""  # differs whenever its files do; empty if it was not read from files


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """All frames of one or several datasets, images resized to the resolution that training uses."""

    fps: float  # [Hz]
    # Of the entries without further vectors; None if the dataset does not name them. Their order may differ.
    state_names: tuple[str, ...] | None
    action_names: tuple[str, ...] | None
    image_shapes: Mapping[str, tuple[int, int]]  # (height, width) as recorded, by camera
    tasks: tuple[str, ...]
    # (M, h, w, 3) RGB, by camera; empty if ``videos`` replace them
    images: Mapping[str, "NDArray[np.uint8] | RandomImages"]
    state: NDArray[np.float32]  # (M, D) [rad or m], then the further vectors
    action: NDArray[np.float32]  # (M, A) [rad or m]
    task_index: NDArray[np.int64]  # (M,) into tasks
    episode_index: NDArray[np.int64]  # (M,), non-decreasing
    stats: Mapping[str, Mapping[str, NDArray[np.float32]]]  # by feature and statistic
    sources: tuple[Source, ...] = (Source("dataset"),)  # in the order of their rows
    # bool (M,). failed: the operator labelled the episode a failure.
    # flagged: the frame repeats an old state or action, or its episode failed the check.
    # flagged_images: the frame repeats an old image. None if no flags are known.
    failed: NDArray[np.bool_] | None = None
    flagged: NDArray[np.bool_] | None = None
    flagged_images: NDArray[np.bool_] | None = None
    corrected: NDArray[np.bool_] | None = None  # (M,) a person corrected a policy; None if no dataset says
    camera_keys: Mapping[str, str] = field(
        default_factory=dict
    )  # by camera, where it is not LeRobot's usual one
    videos: Mapping[str, "CameraImages"] = field(default_factory=dict)  # by camera, decoded on request
    vectors: tuple[VectorFeature, ...] = ()  # further ones, whose entries follow those of the state

    def __post_init__(self) -> None:
        frames = len(self.state)
        lengths = {"action": len(self.action), "task_index": len(self.task_index)}
        lengths |= {"episode_index": len(self.episode_index)}
        lengths |= {
            f"images[{n!r}]": len(images) for n, images in (*self.images.items(), *self.videos.items())
        }
        wrong = {name: length for name, length in lengths.items() if length != frames}
        if wrong or not frames:
            raise DatasetError(
                f"demonstrations: expected the length of state ({frames}, at least 1), got {wrong}"
            )
        for name, values in (("state", self.state), ("action", self.action)):
            bad = _first_not_finite(values)
            if bad is not None:
                row, entry = bad
                raise DatasetError(
                    f"demonstrations: {name} is {values[row, entry]} at {self.describe(row)}, entry {entry}; "
                    f"remove or repair that episode"
                )
        empty = [index for index, task in enumerate(self.tasks) if not task.strip()]
        rows = np.flatnonzero(np.isin(self.task_index, empty))
        if len(rows):
            raise DatasetError(
                f"demonstrations: the instruction is empty at {self.describe(rows[0])} and in "
                f"{len(rows) - 1} more frames; guidance uses the empty instruction for 'no instruction'. Set "
                f"the episode's task with lerobot-edit-dataset, or remove the episode"
            )

    @property
    def image_sizes(self) -> dict[str, tuple[int, int]]:
        """(height, width) as recorded, by the camera's key in the dataset and in the policy."""
        return {
            self.camera_keys.get(name, IMAGE_PREFIX + name): size for name, size in self.image_shapes.items()
        }

    @property
    def state_parts(self) -> dict[str, int]:
        """The number of entries of each feature that the state consists of, by key, in order."""
        further = {vector.key: vector.dim for vector in self.vectors}
        return {STATE_KEY: self.state.shape[1] - sum(further.values()), **further}

    def locate(self, row: int) -> tuple[str, int, int]:
        """Dataset, episode and frame of a row. Episode and frame numbers count within that dataset."""
        source = next(each for each in reversed(self.sources) if each.first_frame <= row)
        return (
            source.name,
            int(self.episode_index[row]) - source.first_episode,
            int(row) - source.first_frame,
        )

    def describe(self, row: int) -> str:
        """``locate`` as text for messages."""
        name, episode, frame = self.locate(row)
        return f"frame {frame} of the {name}, episode {episode}"

    def episode_starts(self) -> "Runs":
        """The episodes as runs of frames."""
        return Runs(_changes(self.episode_index), len(self.episode_index))

    def instruction_starts(self) -> "Runs":
        """The runs of frames with the same episode and the same instruction."""
        starts = np.union1d(_changes(self.episode_index), _changes(self.task_index))
        return Runs(starts, len(self.episode_index))

    def instruction_bounds(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last frame around each frame with its episode and its instruction, both (M,)."""
        return self.instruction_starts().bounds(np.arange(len(self.episode_index)))

    def episode_bounds(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last frame of the episode that each frame belongs to, both (M,)."""
        return self.episode_starts().bounds(np.arange(len(self.episode_index)))


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of consecutive frames. starts: (R,) their first frames, ascending. frames: M, of all runs."""

    starts: NDArray[np.int64]
    frames: int

    def bounds(self, frames: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last frame of the run that each of ``frames`` (B,) belongs to, both (B,)."""
        which = np.searchsorted(self.starts, frames, side="right") - 1  # (B,)
        return self.starts[which], np.append(self.starts[1:], self.frames)[which] - 1


def _first_not_finite(values: NDArray[np.float32]) -> tuple[int, int] | None:
    """Row and entry of the first value (M, D) that is not finite; part by part, which needs little memory."""
    for begin in range(0, len(values), _PART):
        bad = np.argwhere(~np.isfinite(values[begin : begin + _PART]))
        if len(bad):
            return begin + int(bad[0][0]), int(bad[0][1])
    return None


def _changes(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions (R,) at which values (M,) differ from the one before, and 0."""
    return np.append(0, np.flatnonzero(values[1:] != values[:-1]) + 1)


def vector_stats(values: NDArray[np.floating]) -> dict[str, NDArray[np.float32]]:
    """All ``STATISTICS`` of a (M, D) array, each (D,)."""
    exact = values.astype(np.float64)  # a float32 sum over millions of pixels is 1% off
    q01, q10, q90, q99 = np.quantile(exact, (0.01, 0.1, 0.9, 0.99), axis=0)
    parts = (exact.min(0), exact.max(0), exact.mean(0), exact.std(0), q01, q10, q90, q99)
    return {name: part.astype(np.float32) for name, part in zip(STATISTICS, parts, strict=True)}


def image_stats(images: NDArray[np.uint8], samples: int = 500) -> dict[str, NDArray[np.float32]]:
    """Statistics per channel (3, 1, 1), in 0 to 1, from ``samples`` evenly spaced images of (M, h, w, 3)."""
    chosen = images[np.unique(np.linspace(0, len(images) - 1, samples).astype(int))]
    stats = vector_stats(chosen.reshape(-1, 3) / np.float32(255.0))
    return {name: value.reshape(3, 1, 1) for name, value in stats.items()}

# SPDX-License-Identifier: Apache-2.0
"""Decodes all frames of one camera of LeRobotDatasets v3, in order."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import IMAGE_PREFIX
from dit_policy_ros.data.lerobot_calls import reading_dataset

_BATCH = 64  # frames that are resized together

type ImageBatch = tuple[NDArray[np.int64], NDArray[np.uint8]]  # rows (B,) and their images (B, h, w, 3)


@dataclass(frozen=True, slots=True)
class _EpisodeSpan:
    """Consecutive frames of one video file: an episode."""

    first_in_file: int
    first_row: int  # of the dataset
    count: int


@dataclass(frozen=True, slots=True)
class VideoImages:
    """One camera's frames in the video files of datasets: decoded and resized on request, not kept.

    metas: LeRobot's metadata of the datasets, in the order of their rows. name: of the camera.
    shape: (M, h, w, 3) of all images after resizing.
    """

    metas: tuple[Any, ...]
    name: str
    shape: tuple[int, int, int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def batches(self, selected: NDArray[np.bool_] | None = None) -> Iterator[ImageBatch]:
        """Rows (B,) and their images (B, h, w, 3), in the order of the videos.

        Args:
            selected: (M,) the rows to return; None returns all. The others are decoded, but not resized.

        Raises:
            DatasetError: a video ends early or cannot be read.
        """
        before = 0
        for meta in self.metas:
            with reading_dataset(meta.root):
                yield from _decode_dataset(meta, self.name, self.shape[1:3], before, selected)
            before += meta.total_frames


def _decode_dataset(
    meta: Any, name: str, size: tuple[int, int], before: int, selected: NDArray[np.bool_] | None
) -> Iterator[ImageBatch]:
    """``VideoImages.batches`` of one dataset; ``before`` is its first row."""
    for file, spans in _spans(meta, name).items():
        frames = _decode(meta.root / file)
        position = 0
        for span in sorted(spans, key=lambda span: span.first_in_file):
            for _ in islice(frames, span.first_in_file - position):
                pass
            position = span.first_in_file
            for start in range(0, span.count, _BATCH):
                rows = before + span.first_row + np.arange(start, min(start + _BATCH, span.count))  # (B,)
                keep = np.ones(len(rows), bool) if selected is None else selected[rows]  # (B,)
                try:
                    raw = [frame for frame, k in zip(islice(frames, len(rows)), keep, strict=True) if k]
                except (ValueError, RuntimeError):
                    raise DatasetError(
                        f"dataset {meta.root}: {file} ends before row {span.first_row + span.count - 1}"
                    ) from None
                if raw:
                    images = np.stack([frame.to_ndarray(format="rgb24") for frame in raw])  # (B, H, W, 3)
                    yield rows[keep], resize_images(images, size)
            position += span.count


def _spans(meta: Any, name: str) -> dict[Path, list[_EpisodeSpan]]:
    """The episodes in each video file."""
    key = IMAGE_PREFIX + name
    spans: dict[Path, list[_EpisodeSpan]] = {}
    for index in range(meta.total_episodes):
        episode = meta.episodes[index]
        first = round(episode[f"videos/{key}/from_timestamp"] * meta.fps)
        row, end = episode["dataset_from_index"], episode["dataset_to_index"]
        spans.setdefault(meta.get_video_file_path(index, key), []).append(_EpisodeSpan(first, row, end - row))
    return spans


def _decode(path: Path) -> Iterator[Any]:
    import av

    with av.open(str(path)) as container:
        yield from container.decode(video=0)


def resize_images(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (B, H, W, 3) to (B, h, w, 3) with the filter that the policy uses on the robot.

    It computes in integers: 20 times faster than floating point, and at most one level of 255 different.
    """
    if images.shape[1:3] == tuple(size):
        return images
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)  # (B, 3, H, W)
    resized = functional.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
    return resized.permute(0, 2, 3, 1).contiguous().numpy()

# SPDX-License-Identifier: Apache-2.0
"""All frames of one camera of LeRobotDatasets v3, decoded in order."""

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
from dit_policy_ros.data.quiet import readable

_BATCH = 64  # frames that are resized together

type Part = tuple[NDArray[np.int64], NDArray[np.uint8]]  # rows (B,) and their images (B, h, w, 3)


@dataclass(frozen=True, slots=True)
class _Span:
    """Consecutive frames of one video file and where they belong."""

    first_in_file: int
    first_row: int
    count: int


@dataclass(frozen=True, slots=True)
class VideoImages:
    """A camera's frames where they are recorded: decoded and reduced when they are asked for, and not kept.

    metas: LeRobot's metadata of the datasets, whose rows follow one another. shape: (M, h, w, 3), reduced.
    """

    metas: tuple[Any, ...]
    name: str
    shape: tuple[int, int, int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def parts(self, wanted: NDArray[np.bool_] | None = None) -> Iterator[Part]:
        """Rows (B,) and their images (B, h, w, 3), some at a time in the order of the videos.

        Args:
            wanted: (M,) which rows; None: all. The others are decoded, but not reduced.

        Raises:
            DatasetError: a video ends early, or cannot be read.
        """
        before = 0
        for meta in self.metas:
            with readable(meta.root):
                yield from _camera_parts(meta, self.name, self.shape[1:3], before, wanted)
            before += meta.total_frames


def _camera_parts(
    meta: Any, name: str, size: tuple[int, int], before: int, wanted: NDArray[np.bool_] | None
) -> Iterator[Part]:
    """As ``VideoImages.parts``, of the dataset whose first row is ``before``."""
    for file, spans in _spans(meta, name).items():
        frames = _decode(meta.root / file)
        position = 0
        for span in sorted(spans, key=lambda span: span.first_in_file):
            for _ in islice(frames, span.first_in_file - position):
                pass
            position = span.first_in_file
            for start in range(0, span.count, _BATCH):
                rows = before + span.first_row + np.arange(start, min(start + _BATCH, span.count))  # (B,)
                is_wanted = np.ones(len(rows), bool) if wanted is None else wanted[rows]  # (B,)
                try:
                    raw = [
                        each for each, keep in zip(islice(frames, len(rows)), is_wanted, strict=True) if keep
                    ]
                except (ValueError, RuntimeError):
                    raise DatasetError(
                        f"dataset {meta.root}: {file} ends before row {span.first_row + span.count - 1}"
                    ) from None
                if raw:
                    images = np.stack([each.to_ndarray(format="rgb24") for each in raw])  # (B, H, W, 3)
                    yield rows[is_wanted], reduce_images(images, size)
            position += span.count


def _spans(meta: Any, name: str) -> dict[Path, list[_Span]]:
    """Which frames of which video file belong to which rows."""
    key = IMAGE_PREFIX + name
    spans: dict[Path, list[_Span]] = {}
    for index in range(meta.total_episodes):
        episode = meta.episodes[index]
        first = round(episode[f"videos/{key}/from_timestamp"] * meta.fps)
        row, end = episode["dataset_from_index"], episode["dataset_to_index"]
        spans.setdefault(meta.get_video_file_path(index, key), []).append(_Span(first, row, end - row))
    return spans


def _decode(path: Path) -> Iterator[Any]:
    import av

    with av.open(str(path)) as container:
        yield from container.decode(video=0)


def reduce_images(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (B, H, W, 3) to (B, h, w, 3) with the filter that the policy uses on the robot.

    In integers, as stored: a twentieth of the time that floating point takes, and off by at most one level.
    """
    if images.shape[1:3] == tuple(size):
        return images
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    small = functional.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
    return small.permute(0, 2, 3, 1).contiguous().numpy()

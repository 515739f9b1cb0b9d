# SPDX-License-Identifier: Apache-2.0
"""All frames of one camera of a LeRobotDataset v3, decoded once and in order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from dit_policy_ros.core.errors import DatasetError

IMAGES = "observation.images."
_BATCH = 64  # frames that are resized together


@dataclass(frozen=True, slots=True)
class _Span:
    """Consecutive frames of one video file and where they belong."""

    first_in_file: int
    first_row: int
    count: int


def decode_camera(meta: Any, name: str, out: NDArray[np.uint8], report: Callable[[int], None]) -> None:
    """Decode and reduce all frames of a camera.

    Args:
        meta: LeRobot's metadata of the dataset.
        name: the camera's.
        out: (M, h, w, 3) is filled in the order of the dataset's rows.
        report: called with the frames decoded so far.

    Raises:
        DatasetError: a video ends early.
    """
    seen = 0
    for file, spans in _spans(meta, name).items():
        frames = _decode(meta.root / file)
        position = 0
        for span in sorted(spans, key=lambda span: span.first_in_file):
            while position < span.first_in_file:
                next(frames)
                position += 1
            for start in range(0, span.count, _BATCH):
                count = min(_BATCH, span.count - start)
                try:
                    raw = np.stack([next(frames) for _ in range(count)])  # (count, H, W, 3)
                except (StopIteration, RuntimeError):
                    raise DatasetError(
                        f"dataset {meta.root}: {file} ends before row {span.first_row + span.count - 1}"
                    ) from None
                row = span.first_row + start
                out[row : row + count] = reduce_images(raw, (out.shape[1], out.shape[2]))
                seen += count
                report(seen)
            position += span.count


def _spans(meta: Any, name: str) -> dict[Path, list[_Span]]:
    """Which frames of which video file belong to which rows."""
    key = IMAGES + name
    spans: dict[Path, list[_Span]] = {}
    for index in range(meta.total_episodes):
        episode = meta.episodes[index]
        first = round(episode[f"videos/{key}/from_timestamp"] * meta.fps)
        row, end = episode["dataset_from_index"], episode["dataset_to_index"]
        spans.setdefault(meta.get_video_file_path(index, key), []).append(_Span(first, row, end - row))
    return spans


def _decode(path: Path) -> Iterator[NDArray[np.uint8]]:
    import av

    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)  # (H, W, 3)


def reduce_images(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (B, H, W, 3) to (B, h, w, 3) with the filter that the policy uses on the robot.

    In integers, as stored: a twentieth of the time that floating point takes, and off by at most one level.
    """
    if images.shape[1:3] == tuple(size):
        return images
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    small = functional.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
    return small.permute(0, 2, 3, 1).contiguous().numpy()

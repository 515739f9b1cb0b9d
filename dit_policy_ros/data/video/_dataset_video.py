# SPDX-License-Identifier: Apache-2.0
"""Decodes the video files of one camera of a LeRobotDataset v3, in order.

A row's image is the video's frame at the row's time, as in LeRobot. Counting frames instead would shift every
picture after one that an encoder has lost.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.video._rows import read_columns

TOLERANCE = 0.25  # of a frame's duration: less than that is jitter of the stamps, more is a missing frame


@dataclass(frozen=True, slots=True)
class _VideoRows:
    """The rows whose images are in one file, in the order of their times. times: (R,) in the file [s]."""

    rows: NDArray[np.int64]  # (R,)
    times: NDArray[np.float64]  # (R,)


def video_frames(meta: Any, key: str) -> Iterator[tuple[int, Callable[[], NDArray[np.uint8]]]]:
    """Each row of the dataset with a function that converts its frame to (H, W, 3) RGB.

    Args:
        meta: LeRobot's metadata of the dataset.
        key: of the camera.

    Raises:
        DatasetError: a video cannot be read, or has no frame at a row's time.
    """
    tolerance = TOLERANCE / meta.fps  # [s]
    for file, wanted in _rows_of_files(meta, key).items():
        frames = _nearest_frames(_decode(meta.root, file), wanted.times)
        for row, time, (found, frame) in zip(wanted.rows, wanted.times, frames, strict=True):
            if frame is None or not abs(found - time) <= tolerance:
                raise DatasetError(missing_frame(meta, key, file, int(row), time, found))
            yield int(row), lambda frame=frame: frame.to_ndarray(format="rgb24")


def _rows_of_files(meta: Any, key: str) -> dict[Path, _VideoRows]:
    """The rows in each video file."""
    stamps = read_columns(meta, ["timestamp"])["timestamp"].reshape(-1).astype(np.float64)  # (M,) [s]
    parts: dict[Path, list[tuple[NDArray, NDArray]]] = {}
    for index in range(meta.total_episodes):
        episode = meta.episodes[index]
        rows = np.arange(episode["dataset_from_index"], episode["dataset_to_index"])
        times = episode[f"videos/{key}/from_timestamp"] + stamps[rows]  # (R,) [s]
        parts.setdefault(meta.get_video_file_path(index, key), []).append((rows, times))
    result = {}
    for file, episodes in parts.items():
        rows = np.concatenate([rows for rows, _ in episodes])
        times = np.concatenate([times for _, times in episodes])
        order = np.argsort(times, kind="stable")
        result[file] = _VideoRows(rows[order], times[order])
    return result


def _nearest_frames(
    frames: Iterator[tuple[float, Any]], times: NDArray[np.float64]
) -> Iterator[tuple[float, Any]]:
    """For each of the increasing times, the time [s] of the nearest frame, and the frame (None if none)."""
    nothing = (np.nan, None)
    before, current = nothing, next(frames, nothing)
    for time in times:
        while current[1] is not None and current[0] < time:
            before, current = current, next(frames, nothing)
        found = [each for each in (before, current) if each[1] is not None]
        yield min(found, key=lambda each: abs(each[0] - time)) if found else nothing


def _decode(root: Path, file: Path) -> Iterator[tuple[float, Any]]:
    """The file's frames, each with its time [s]."""
    import av
    import av.error

    try:
        with av.open(str(root / file)) as container:
            stream = container.streams.video[0]
            for frame in container.decode(stream):
                if frame.time is not None:
                    yield frame.time, frame
    except (av.error.FFmpegError, IndexError) as error:
        raise DatasetError(f"dataset {root}: {file} cannot be decoded: {error!r}; is it complete?") from error


def missing_frame(meta: Any, key: str, file: Path, row: int, time: float, found: float) -> str:
    """The message for a row of a dataset without a frame at its time [s]; found: the nearest frame's [s]."""
    episodes = range(meta.total_episodes)
    ends = [meta.episodes[index]["dataset_to_index"] for index in episodes]
    episode = int(np.searchsorted(ends, row, side="right"))
    frame = row - meta.episodes[episode]["dataset_from_index"]
    nearest = "it has none" if np.isnan(found) else f"the nearest is at {found:.4f} s"
    return (
        f"dataset {meta.root}: {file} has no frame of {key} at {time:.4f} s (episode {episode}, frame "
        f"{frame}); {nearest}. The video has lost frames, or its times are not those of the table. LeRobot "
        f"refuses that frame as well. Remove the episode (dit_policy inspect --delete {episode}), or record "
        f"it again"
    )

# SPDX-License-Identifier: Apache-2.0
"""Reads a local LeRobotDataset v3 whole: vectors from Parquet, images from video, decoded once.

Training looks at every frame many times and in random order; decoding a video for each look would cost more
than the network. So the frames are decoded in order, resized once, and kept.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.demonstrations import STATISTICS, Demonstrations
from dit_policy_ros.data.quiet import quiet, same_root_logger

STATE, ACTION, IMAGES = "observation.state", "action", "observation.images."
_BATCH = 64  # frames that are resized together


@dataclass(frozen=True, slots=True)
class _Span:
    """Consecutive frames of one video file and where they belong."""

    first_in_file: int
    first_row: int
    count: int


def read_demonstrations(
    root: Path | str,
    cameras: tuple[str, ...] | None = None,
    size: tuple[int, int] | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Demonstrations:
    """Read every episode of a dataset.

    Args:
        root: the dataset's folder (it holds ``meta/info.json``).
        cameras: names to read; None reads all.
        size: (height, width) to which images are reduced, as the policy would; None keeps them.
        report: called with the images decoded so far and their number.

    Raises:
        DatasetError: the folder is no dataset, is damaged, or lacks a camera, a state or an action.
    """
    root = Path(root).expanduser().resolve()
    if not (root / "meta" / "info.json").is_file():
        raise DatasetError(f"dataset {root}: looked for {root / 'meta' / 'info.json'}, which does not exist")
    with same_root_logger():
        from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
    try:
        with quiet():
            meta = LeRobotDatasetMetadata(f"local/{root.name}", root=root)
            return _read(meta, root, cameras, size, report)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise DatasetError(f"dataset {root} cannot be read: {error!r}") from error


def _read(
    meta: Any,
    root: Path,
    cameras: tuple[str, ...] | None,
    size: tuple[int, int] | None,
    report: Callable[[int, int], None],
) -> Demonstrations:
    missing = [key for key in (STATE, ACTION) if key not in meta.features]
    if missing:
        raise DatasetError(f"dataset {root}: expected {STATE} and {ACTION}, missing: {', '.join(missing)}")
    present = [key.removeprefix(IMAGES) for key in meta.video_keys]
    chosen = tuple(present) if cameras is None else cameras
    absent = sorted(set(chosen) - set(present))
    if absent:
        raise DatasetError(
            f"dataset {root}: no videos of camera {', '.join(absent)}; present: {', '.join(present)}"
        )
    table = _vectors(meta, root)
    shapes = {name: tuple(meta.features[IMAGES + name]["shape"][:2]) for name in chosen}
    total = len(table["index"]) * len(chosen)
    images: dict[str, NDArray[np.uint8]] = {}
    for i, name in enumerate(chosen):
        done = i * len(table["index"])
        images[name] = _images(
            meta, root, name, size or shapes[name], lambda n, done=done: report(done + n, total)
        )
    keys = (STATE, ACTION, *(IMAGES + name for name in chosen))
    return Demonstrations(
        fps=float(meta.fps),
        joint_names=tuple(_names(meta.features[STATE])),
        image_shapes=shapes,
        tasks=tuple(str(task) for task in meta.tasks.sort_values("task_index").index),
        images=images,
        state=table[STATE].astype(np.float32),
        action=table[ACTION].astype(np.float32),
        task_index=table["task_index"].astype(np.int64),
        episode_index=table["episode_index"].astype(np.int64),
        stats={key: _stats(meta.stats[key]) for key in keys},
    )


def _names(feature: Mapping[str, Any]) -> list[str]:
    names = feature.get("names") or [f"entry_{i}" for i in range(feature["shape"][0])]
    if isinstance(names, dict):  # LeRobot's older layout: {"motors": [...]}
        names = [name for group in names.values() for name in group]
    return list(names)


def _stats(stats: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    return {name: np.asarray(stats[name], np.float32) for name in STATISTICS if name in stats}


def _vectors(meta: Any, root: Path) -> dict[str, NDArray]:
    import pyarrow.parquet as parquet

    columns = [STATE, ACTION, "task_index", "episode_index", "index"]
    files = sorted({meta.get_data_file_path(episode) for episode in range(meta.total_episodes)})
    tables = [parquet.read_table(root / file, columns=columns) for file in files]
    parts = {
        name: np.concatenate([np.array(table[name].to_pylist(), ndmin=1) for table in tables])
        for name in columns
    }
    order = np.argsort(parts["index"], kind="stable")
    return {name: values[order] for name, values in parts.items()}


def _images(
    meta: Any, root: Path, name: str, size: tuple[int, int], report: Callable[[int], None]
) -> NDArray[np.uint8]:
    """All frames of a camera (M, h, w, 3), in the order of the dataset's rows."""
    result = np.zeros((meta.total_frames, *size, 3), np.uint8)
    seen = 0
    for file, spans in _spans(meta, name).items():
        frames = _decode(root / file)
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
                        f"dataset {root}: {file} ends before row {span.first_row + span.count - 1}"
                    ) from None
                row = span.first_row + start
                result[row : row + count] = reduce_images(raw, size)
                seen += count
                report(seen)
            position += span.count
    return result


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
    """Resize (B, H, W, 3) to (B, h, w, 3) with the filter that the policy uses on the robot."""
    if images.shape[1:3] == tuple(size):
        return images
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32)
    small = functional.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
    return small.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()

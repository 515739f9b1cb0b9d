# SPDX-License-Identifier: Apache-2.0
"""Reads complete local LeRobotDatasets v3: vectors from Parquet, images from video.

Training reads every frame many times and in random order. Decoding the video each time would cost more than
the network, so frames are decoded in order, resized once, and stored (``FrameStore``). With a frozen vision
encoder each frame is needed only once; then images stay in the videos and are decoded on request.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.core.problems import Problems
from dit_policy_ros.data.dataset._demonstrations import STATISTICS, Demonstrations, Source
from dit_policy_ros.data.dataset._flags import failed_episodes, flagged_frames
from dit_policy_ros.data.dataset._frame_store import FrameStore
from dit_policy_ros.data.dataset._metadata import (
    camera_names,
    check_cameras,
    open_metadata,
    task_names,
)
from dit_policy_ros.data.dataset._side_table import VECTOR_STREAMS
from dit_policy_ros.data.lerobot_calls import preserve_root_logger, reading_dataset
from dit_policy_ros.data.video import VideoImages

Report = Callable[[int, int], None]  # images done, images in total


def read_demonstrations(
    roots: Path | str | Sequence[Path | str],
    cameras: tuple[str, ...] | None = None,
    size: tuple[int, int] | None = None,
    report: Report = lambda done, total: None,
    store: FrameStore | None = None,
    keep_images: bool = True,
) -> Demonstrations:
    """Read all episodes of one dataset, or of several as if they were one.

    Args:
        roots: the folder of a dataset (it contains ``meta/info.json``), or several.
        cameras: names of the cameras to read; None reads all.
        size: (height, width) to which images are resized, as the policy does it; None keeps their size.
        report: called with the number of images decoded so far and in total.
        store: where to store decoded images; None stores them in memory.
        keep_images: decode and store the images now. Otherwise the result has ``videos`` instead, which
            decode on request.

    Raises:
        DatasetError: a folder is not a dataset, is damaged, or lacks a camera, the state or the action; or
            the datasets do not fit together.
    """
    folders = [roots] if isinstance(roots, Path | str) else list(roots)
    if not folders:
        raise DatasetError("datasets: expected at least one folder, got none")
    metas = [open_metadata(Path(folder).expanduser().resolve()) for folder in folders]
    chosen = cameras or camera_names(metas[0])
    for meta in metas:
        check_cameras(meta, chosen)
    _check_same_contract(metas, chosen)
    first, tables = metas[0], []
    for meta in metas:
        with reading_dataset(meta.root):
            tables.append(_vectors(meta))
    rows = np.cumsum([0, *(len(table["index"]) for table in tables)])
    episodes = np.cumsum([0, *(meta.total_episodes for meta in metas)])
    names = [task_names(meta) for meta in metas]
    tasks = tuple(dict.fromkeys(task for group in names for task in group))
    task_index = [
        np.array([tasks.index(task) for task in group])[table["task_index"]]
        for group, table in zip(names, tables, strict=True)
    ]
    shapes: dict[str, tuple[int, int]] = {}
    for name in chosen:
        height, width = first.features[IMAGE_PREFIX + name]["shape"][:2]
        shapes[name] = height, width
    keys = (STATE_KEY, ACTION_KEY, *(IMAGE_PREFIX + name for name in chosen))
    total = int(rows[-1])
    videos = {
        name: VideoImages(tuple(metas), name, (total, *(size or recorded), 3))
        for name, recorded in shapes.items()
    }
    flagged = [_flagged(meta, table, chosen) for meta, table in zip(metas, tables, strict=True)]
    return Demonstrations(
        fps=float(first.fps),
        joint_names=tuple(_names(first.features[STATE_KEY])),
        image_shapes=shapes,
        tasks=tasks,
        images=_decoded(videos, report, store or FrameStore()) if keep_images else {},
        videos={} if keep_images else videos,
        state=np.concatenate([table[STATE_KEY].astype(np.float32) for table in tables]),
        action=np.concatenate([table[ACTION_KEY].astype(np.float32) for table in tables]),
        task_index=np.concatenate(task_index).astype(np.int64),
        episode_index=np.concatenate(
            [t["episode_index"] + start for t, start in zip(tables, episodes, strict=False)]
        ).astype(np.int64),
        stats=_stats(metas, keys),
        sources=tuple(
            Source(f"dataset {meta.root}", int(row), int(episode))
            for meta, row, episode in zip(metas, rows, episodes, strict=False)
        ),
        flagged=np.concatenate([vectors for vectors, _ in flagged]),
        flagged_images=np.concatenate([images for _, images in flagged]),
    )


def _check_same_contract(metas: Sequence[Any], cameras: Sequence[str]) -> None:
    """Checks that all datasets have the fps, the joints and the image sizes of the first one."""
    first, *others = metas
    for meta in others:
        problems = Problems(str(meta.root))
        if meta.fps != first.fps:
            problems.add("fps", f"{first.fps} Hz", f"{meta.fps} Hz")
        for key in (STATE_KEY, ACTION_KEY):
            expected, got = _names(first.features[key]), _names(meta.features[key])
            if expected != got:
                problems.add(f"{key} names", f"{expected}", f"{got}")
        for key in (IMAGE_PREFIX + name for name in cameras):
            expected, got = list(first.features[key]["shape"]), list(meta.features[key]["shape"])
            if expected != got:
                problems.add(f"{key} shape", f"{expected}", f"{got}")
        problems.raise_if_any(
            DatasetError,
            f"The dataset does not fit {first.root}. Datasets read together need the same contract",
        )


def _flagged(
    meta: Any, table: Mapping[str, NDArray], cameras: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Frames (M,) that training should leave out: for a vector or a failed check, and for an image."""
    episode = table["episode_index"]
    by_vectors, by_images = np.isin(episode, list(failed_episodes(meta.root))), np.zeros(len(episode), bool)
    for marks, streams in ((by_vectors, VECTOR_STREAMS), (by_images, cameras)):
        for index, frames in flagged_frames(meta.root, streams).items():
            marks[np.searchsorted(episode, index) + frames] = True
    return by_vectors, by_images


def _decoded(
    videos: Mapping[str, VideoImages], report: Report, store: FrameStore
) -> dict[str, NDArray[np.uint8]]:
    """All images (M, h, w, 3), by camera."""
    total, images, done = sum(len(each) for each in videos.values()), {}, 0
    for name, video in videos.items():

        def fill(array: NDArray[np.uint8], video: VideoImages = video, done: int = done) -> None:
            for rows, batch in video.batches():
                array[rows] = batch
                done += len(rows)
                report(done, total)

        identity = [[str(meta.root), _fingerprint(meta.root)] for meta in video.metas]
        images[name] = store.images([name, identity], video.shape, fill)
        done += len(video)
    return images


def _fingerprint(root: Path) -> list[list[object]]:
    """Sizes and times of a dataset's files: they change whenever the dataset does."""
    files = [root / "meta" / "info.json", *sorted(root.glob("videos/**/*.mp4"))]
    return [[str(f.relative_to(root)), f.stat().st_size, f.stat().st_mtime_ns] for f in files]


def _stats(metas: Sequence[Any], keys: Sequence[str]) -> dict[str, dict[str, NDArray[np.float32]]]:
    with preserve_root_logger():
        from lerobot.datasets.compute_stats import aggregate_stats
    for meta in metas:
        absent = [key for key in keys if key not in (meta.stats or {})]
        if absent:
            raise DatasetError(f"dataset {meta.root}: meta/stats.json lacks {', '.join(absent)}")
    merged = metas[0].stats
    if len(metas) > 1:
        merged = aggregate_stats([{key: meta.stats[key] for key in keys} for meta in metas])
    return {
        key: {name: np.asarray(merged[key][name], np.float32) for name in STATISTICS if name in merged[key]}
        for key in keys
    }


def _names(feature: Mapping[str, Any]) -> list[str]:
    names = feature.get("names") or [f"entry_{i}" for i in range(feature["shape"][0])]
    if isinstance(names, dict):  # LeRobot's older layout: {"motors": [...]}
        names = [name for group in names.values() for name in group]
    return list(names)


def _vectors(meta: Any) -> dict[str, NDArray]:
    import pyarrow.parquet as parquet

    columns = [STATE_KEY, ACTION_KEY, "task_index", "episode_index", "index"]
    files = sorted({meta.get_data_file_path(episode) for episode in range(meta.total_episodes)})
    tables = [parquet.read_table(meta.root / file, columns=columns) for file in files]
    parts = {
        name: np.concatenate([np.array(table[name].to_pylist(), ndmin=1) for table in tables])
        for name in columns
    }
    order = np.argsort(parts["index"], kind="stable")
    return {name: values[order] for name, values in parts.items()}

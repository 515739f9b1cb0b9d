# SPDX-License-Identifier: Apache-2.0
"""Reads local LeRobotDatasets v3 whole: vectors from Parquet, images from video, decoded once.

Training looks at every frame many times and in random order; decoding a video for each look would cost more
than the network. So the frames are decoded in order, resized once, and kept (``frame_store``); who looks at
each only once, as with a frozen vision encoder, lets them be.
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
from dit_policy_ros.data.dataset._episode_records import STREAMS
from dit_policy_ros.data.dataset._files import check_readable
from dit_policy_ros.data.dataset._flags import failed_episodes, flagged_frames
from dit_policy_ros.data.dataset._frame_store import FrameStore
from dit_policy_ros.data.quiet import readable, same_root_logger
from dit_policy_ros.data.video import VideoImages

Report = Callable[[int, int], None]


def read_demonstrations(
    roots: Path | str | Sequence[Path | str],
    cameras: tuple[str, ...] | None = None,
    size: tuple[int, int] | None = None,
    report: Report = lambda done, total: None,
    store: FrameStore | None = None,
    keep_images: bool = True,
) -> Demonstrations:
    """Read every episode of one dataset, or of several as if they were one.

    Args:
        roots: the folder of a dataset (it holds ``meta/info.json``), or several.
        cameras: names to read; None reads all.
        size: (height, width) to which images are reduced, as the policy would; None keeps them.
        report: called with the images decoded so far and their number.
        store: where the images are kept; None keeps them in memory.
        keep_images: decode them now; without, they are ``videos``, decoded when they are looked at.

    Raises:
        DatasetError: a folder is no dataset, is damaged, or lacks a camera, a state or an action; or the
            datasets do not fit together.
    """
    folders = [roots] if isinstance(roots, Path | str) else list(roots)
    if not folders:
        raise DatasetError("datasets: expected at least one folder, got none")
    metas = [_open(Path(folder).expanduser().resolve()) for folder in folders]
    chosen = _choose_cameras(metas, cameras)
    _check_alike(metas, chosen)
    first, tables = metas[0], []
    for meta in metas:
        with readable(meta.root):
            tables.append(_vectors(meta))
    rows = np.cumsum([0, *(len(table["index"]) for table in tables)])
    episodes = np.cumsum([0, *(meta.total_episodes for meta in metas)])
    names = [_tasks(meta) for meta in metas]
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


def _open(root: Path) -> Any:
    check_readable(root)
    with same_root_logger():
        from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
    with readable(root):
        meta: Any = LeRobotDatasetMetadata(f"local/{root.name}", root=root)
    missing = [key for key in (STATE_KEY, ACTION_KEY) if key not in meta.features]
    if missing:
        raise DatasetError(
            f"dataset {root}: expected {STATE_KEY} and {ACTION_KEY}, missing: {', '.join(missing)}"
        )
    return meta


def _choose_cameras(metas: Sequence[Any], cameras: tuple[str, ...] | None) -> tuple[str, ...]:
    chosen = cameras or tuple(key.removeprefix(IMAGE_PREFIX) for key in metas[0].video_keys)
    for meta in metas:
        present = [key.removeprefix(IMAGE_PREFIX) for key in meta.video_keys]
        absent = sorted(set(chosen) - set(present))
        if absent:
            raise DatasetError(
                f"dataset {meta.root}: no videos of camera {', '.join(absent)}; present: {', '.join(present)}"
            )
    return chosen


def _check_alike(metas: Sequence[Any], cameras: Sequence[str]) -> None:
    """Datasets that are read as one record the same things in the same order at the same rate."""
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
            DatasetError, f"The dataset does not fit {first.root}, with which it is read; read them apart"
        )


def _flagged(
    meta: Any, table: Mapping[str, NDArray], cameras: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Frames (M,) that the recorder marked as not to be learned from: by what is no image, by an image."""
    episode = table["episode_index"]
    by_vectors, by_images = np.isin(episode, list(failed_episodes(meta.root))), np.zeros(len(episode), bool)
    for marks, streams in ((by_vectors, STREAMS), (by_images, cameras)):
        for index, frames in flagged_frames(meta.root, streams).items():
            marks[np.searchsorted(episode, index) + frames] = True
    return by_vectors, by_images


def _tasks(meta: Any) -> list[str]:
    return [str(task) for task in meta.tasks.sort_values("task_index").index]


def _decoded(
    videos: Mapping[str, VideoImages], report: Report, store: FrameStore
) -> dict[str, NDArray[np.uint8]]:
    """All images, by camera."""
    everything, images, done = sum(len(each) for each in videos.values()), {}, 0
    for name, video in videos.items():

        def fill(array: NDArray[np.uint8], video: VideoImages = video, done: int = done) -> None:
            for rows, part in video.parts():
                array[rows] = part
                done += len(rows)
                report(done, everything)

        identity = [[str(meta.root), _fingerprint(meta.root)] for meta in video.metas]
        images[name] = store.images([name, identity], video.shape, fill)
        done += len(video)
    return images


def _fingerprint(root: Path) -> list[list[object]]:
    """What tells one state of a dataset's files from another, without reading them."""
    files = [root / "meta" / "info.json", *sorted(root.glob("videos/**/*.mp4"))]
    return [[str(f.relative_to(root)), f.stat().st_size, f.stat().st_mtime_ns] for f in files]


def _stats(metas: Sequence[Any], keys: Sequence[str]) -> dict[str, dict[str, NDArray[np.float32]]]:
    with same_root_logger():
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

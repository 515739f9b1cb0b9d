# SPDX-License-Identifier: Apache-2.0
"""Reads complete local LeRobotDatasets v3: vectors from Parquet, images from video or Parquet.

Training reads every frame many times and in random order. Decoding the video each time would cost more than
the network, so frames are decoded in order, resized once, and stored (``FrameStore``). With a frozen vision
encoder each frame is needed only once; then images stay in the videos and are decoded on request. Images that
fit neither memory nor disk are streamed: decoded anew for each batch (``RandomImages``).
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, INTERVENTION_KEY, STATE_KEY
from dit_policy_ros.data.dataset._demonstrations import Demonstrations, Source
from dit_policy_ros.data.dataset._flags import failed_by_operator, failed_episodes, flagged_frames
from dit_policy_ros.data.dataset._frame_store import FrameStore
from dit_policy_ros.data.dataset._metadata import open_metadata, task_names
from dit_policy_ros.data.dataset._row_check import ROW_COLUMNS, check_rows
from dit_policy_ros.data.dataset._scratch import ScratchArrays, renumbered, side_by_side, stacked
from dit_policy_ros.data.dataset._side_table import VECTOR_STREAMS
from dit_policy_ros.data.dataset._statistics import read_statistics
from dit_policy_ros.data.description import (
    CameraFeature,
    check_one_size,
    check_same_features,
    choose_cameras,
    choose_vectors,
    describe_dataset,
)
from dit_policy_ros.data.lerobot_calls import reading_dataset
from dit_policy_ros.data.video import Allocate, CameraImages, RandomImages, read_columns

Report = Callable[[int, int], None]  # images done, images in total


def read_demonstrations(
    roots: Path | str | Sequence[Path | str],
    cameras: tuple[str, ...] | None = None,
    size: tuple[int, int] | None = None,
    report: Report = lambda done, total: None,
    store: FrameStore | None = None,
    keep_images: bool = True,
    stream: bool = False,
    vectors: Sequence[str] = (),
    scratch: Path | None = None,
) -> Demonstrations:
    """Read all episodes of one dataset, or of several as if they were one.

    Args:
        roots: the folder of a dataset (it contains ``meta/info.json``), or several.
        cameras: names or keys of the cameras to read; None reads all that a policy can read.
        size: (height, width) to which images are resized, as the policy does it; None keeps their size.
        report: called with the number of images decoded so far and in total.
        store: where to store decoded images; None stores them in memory.
        keep_images: decode and store the images now. Otherwise the result has ``videos`` instead, which
            decode on request.
        stream: do not store images, decode those of each batch when they are indexed. Wins over
            ``keep_images``.
        vectors: names or keys of further vectors whose entries follow those of the state.
        scratch: folder on a disk for the tables, which then need next to no memory; their files vanish with
            the process. None keeps them in memory.

    Raises:
        DatasetError: a folder is not a dataset, is damaged, or lacks a camera, a vector, the state or the
            action; the cameras' sizes differ and are not resized; or the datasets do not fit together.
    """
    folders = [roots] if isinstance(roots, Path | str) else list(roots)
    if not folders:
        raise DatasetError("datasets: expected at least one folder, got none")
    paths = [Path(folder).expanduser().resolve() for folder in folders]
    descriptions = [describe_dataset(path) for path in paths]
    first = descriptions[0]
    state, action = first.state_and_action()
    chosen = choose_cameras(first.cameras, cameras, first.source)
    if size is None:
        check_one_size({camera.name: (camera.height, camera.width) for camera in chosen}, first.source)
    further = choose_vectors(first.vectors, vectors, first.source)
    check_same_features(descriptions, chosen, further)
    same = [choose_cameras(each.cameras, [c.key for c in chosen], each.source) for each in descriptions]
    metas = [open_metadata(path, videos_on_hub=stream) for path in paths]
    allocate: Allocate = np.empty if scratch is None else ScratchArrays(scratch)
    tables = []
    for meta in metas:
        with reading_dataset(meta.root):
            needed = (STATE_KEY, ACTION_KEY, *(vector.key for vector in further))
            tables.append(_vectors(meta, needed, allocate))
    rows = np.cumsum([0, *(len(table["index"]) for table in tables)])
    episodes = np.cumsum([0, *(meta.total_episodes for meta in metas)])
    names = [task_names(meta) for meta in metas]
    tasks = tuple(dict.fromkeys(task for group in names for task in group))
    for meta, group, table in zip(metas, names, tables, strict=True):
        numbers = [tasks.index(task) for task in group]
        table["task_index"] = renumbered(table["task_index"], numbers, allocate, f"dataset {meta.root}")
    keys = (STATE_KEY, ACTION_KEY, *(each.key for each in (*further, *chosen)))
    parts = (STATE_KEY, *(vector.key for vector in further))  # of the state
    total = int(rows[-1])
    videos = {
        camera.name: CameraImages(
            tuple(metas),
            tuple(cameras[number] for cameras in same),
            (total, *(size or (camera.height, camera.width)), 3),
        )
        for number, camera in enumerate(chosen)
    }
    streams = (*VECTOR_STREAMS, *(vector.name for vector in further))
    flagged = [
        _flagged(meta, table, cameras, streams)
        for meta, table, cameras in zip(metas, tables, same, strict=True)
    ]
    images: Mapping[str, NDArray[np.uint8] | RandomImages] = {}
    if stream:
        images = {name: RandomImages(video) for name, video in videos.items()}
    elif keep_images:
        images = _decoded(videos, report, store or FrameStore())
    return Demonstrations(
        fps=first.fps,
        state_names=state.names,
        action_names=action.names,
        image_shapes={camera.name: (camera.height, camera.width) for camera in chosen},
        camera_keys={camera.name: camera.key for camera in chosen},
        tasks=tasks,
        images=images,
        videos={} if keep_images or stream else videos,
        state=stacked([side_by_side([table[key] for key in parts], allocate) for table in tables], allocate),
        action=stacked([table[ACTION_KEY] for table in tables], allocate),
        task_index=stacked([table["task_index"] for table in tables], allocate),
        episode_index=stacked([table["episode_index"] for table in tables], allocate, episodes.tolist()),
        stats=read_statistics(metas, tables, keys, further),
        sources=tuple(
            Source(f"dataset {meta.root}", int(row), int(episode), _content(meta.root))
            for meta, row, episode in zip(metas, rows, episodes, strict=False)
        ),
        failed=np.concatenate(
            [
                np.isin(table["episode_index"], list(failed_by_operator(meta.root)))
                for meta, table in zip(metas, tables, strict=True)
            ]
        ),
        flagged=np.concatenate([vectors for vectors, _ in flagged]),
        flagged_images=np.concatenate([images for _, images in flagged]),
        corrected=_corrected(metas, [len(table["index"]) for table in tables]),
        vectors=further,
    )


def _corrected(metas: Sequence[Any], lengths: Sequence[int]) -> NDArray[np.bool_] | None:
    """Frames (M,) in which a person corrected a policy; None if no dataset says so."""
    says = [(meta.features.get(INTERVENTION_KEY) or {}).get("dtype") == "bool" for meta in metas]
    if not any(says):
        return None
    parts = []
    for meta, length, is_said in zip(metas, lengths, says, strict=True):
        with reading_dataset(meta.root):
            column = read_columns(meta, [INTERVENTION_KEY])[INTERVENTION_KEY] if is_said else np.zeros(length)
            parts.append(column.reshape(length).astype(bool))
    return np.concatenate(parts)


def _flagged(
    meta: Any, table: Mapping[str, NDArray], cameras: Sequence[CameraFeature], vectors: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Frames (M,) that training should leave out: for a vector or a failed check, and for an image.

    vectors: the streams of the vectors that are read.
    """
    episode = table["episode_index"]
    by_vectors, by_images = np.isin(episode, list(failed_episodes(meta.root))), np.zeros(len(episode), bool)
    names = [camera.name for camera in cameras]
    for marks, streams in ((by_vectors, vectors), (by_images, names)):
        for index, frames in flagged_frames(meta.root, streams).items():
            marks[np.searchsorted(episode, index) + frames] = True
    return by_vectors, by_images


def _decoded(
    videos: Mapping[str, CameraImages], report: Report, store: FrameStore
) -> dict[str, NDArray[np.uint8]]:
    """All images (M, h, w, 3), by camera."""
    total, images, done = sum(len(each) for each in videos.values()), {}, 0
    for name, video in videos.items():

        def fill(array: NDArray[np.uint8], video: CameraImages = video, done: int = done) -> None:
            for rows, batch in video.batches():
                array[rows] = batch
                done += len(rows)
                report(done, total)

        identity = [[str(meta.root), _fingerprint(meta.root)] for meta in video.metas]
        keys = [camera.key for camera in video.cameras]
        group = [keys, [str(meta.root) for meta in video.metas]]
        images[name] = store.images([keys, identity], video.shape, fill, group)
        done += len(video)
    return images


def _content(root: Path) -> str:
    """What ``Source`` says of a dataset's content."""
    return hashlib.sha256(json.dumps(_fingerprint(root)).encode()).hexdigest()


def _fingerprint(root: Path) -> list[list[object]]:
    """Sizes and times of a dataset's files: they change whenever the dataset does."""
    files = [root / "meta" / "info.json", *sorted(root.glob("videos/**/*.mp4"))]
    files += sorted(root.glob("data/**/*.parquet"))  # where images are stored that are no videos
    return [[str(f.relative_to(root)), f.stat().st_size, f.stat().st_mtime_ns] for f in files]


def _vectors(meta: Any, keys: Sequence[str], allocate: Allocate) -> dict[str, NDArray]:
    """The rows' columns; the vectors ``keys`` are float32 (M, D), also with one entry."""
    columns = read_columns(meta, [*keys, "task_index", *ROW_COLUMNS], allocate)
    check_rows(meta, columns)
    del columns["timestamp"]
    rows = len(columns["index"])
    for key in keys:  # LeRobot stores one entry as a scalar
        columns[key] = columns[key].astype(np.float32, copy=False).reshape(rows, -1)
        width, expected = columns[key].shape[1], math.prod(meta.features[key]["shape"])
        if width != expected:
            raise DatasetError(
                f"dataset {meta.root}: the rows of {key} have {width} entries, meta/info.json says "
                f"{expected}. Correct the one that is wrong"
            )
    for key in ("task_index", "episode_index"):
        columns[key] = columns[key].reshape(-1).astype(np.int64, copy=False)
    return columns

# SPDX-License-Identifier: Apache-2.0
"""The files that one more episode adds to a LeRobotDataset v3 or changes in it, in a folder beside it.

Each episode gets files of its own, so the cost does not grow with the dataset. The formats are LeRobot's: its
functions compute the statistics and write the tables wherever it has one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY, TASK_KEY
from dit_policy_ros.data.dataset import (
    INFO,
    RECORDS,
    EpisodeRecord,
    features_of,
    read_info,
    read_records,
    records_text,
    spans_of,
)
from dit_policy_ros.data.quiet import silence_ffmpeg
from dit_policy_ros.data.recording._journal import EpisodeLabel, JournalContent, read_journal, video_path
from dit_policy_ros.data.video import ImageSummary, decode, remux

_EPISODES = "meta/episodes"
_OF_ENCODER = ("video.codec", "video.pix_fmt")


@dataclass(frozen=True, slots=True)
class _Place:
    """Number of a file: `chunk-CCC/file-FFF`."""

    chunk: int
    file: int

    def next(self, chunk_size: int) -> "_Place":
        return _Place(self.chunk, self.file + 1) if self.file + 1 < chunk_size else _Place(self.chunk + 1, 0)


def stage_episode(root: Path, folder: Path, stage: Path) -> int:
    """Writes into `stage`, under their final names, all files that a saved episode adds or changes.

    Args:
        root: the dataset, which is only read.
        folder: of the episode, see journal.
        stage: does not exist.

    Returns:
        The index of the episode.

    Raises:
        DatasetError: the episode was not saved, or the dataset is damaged. OSError.
    """
    from lerobot.datasets.compute_stats import aggregate_stats
    from lerobot.datasets.io_utils import load_stats, write_stats

    content = read_journal(folder)
    count = len(content.tasks)
    if content.label is None or count == 0:
        raise DatasetError(f"the episode in {folder} was not saved, or has no frames")
    info = read_info(root) if (root / INFO).exists() else _new_info(content)
    last = _last_episode(root, info)
    index = info["total_episodes"]
    row: dict[str, Any] = {"episode_index": index, "length": count, "tasks": sorted(set(content.tasks))}
    row |= {"dataset_from_index": info["total_frames"], "dataset_to_index": info["total_frames"] + count}
    (stage / "meta").mkdir(parents=True)
    tasks = _stage_tasks(root, stage, info, content)
    columns = _stage_data(stage, info, last, row, content, tasks)
    _stage_videos(folder, stage, info, last, row, content)
    stats = _statistics(folder, columns, info["features"], content)
    for feature, values in stats.items():
        row |= {f"stats/{feature}/{name}": value.tolist() for name, value in values.items()}
    _stage_row(stage, info, last, row)
    old = load_stats(root) if index else None
    write_stats(aggregate_stats([old, stats]) if old else stats, stage)
    _stage_record(root, stage, index, content)
    info |= {"total_episodes": index + 1, "total_frames": info["total_frames"] + count}
    info |= {"total_tasks": len(tasks), "splits": {"train": f"0:{index + 1}"}}
    (stage / INFO).write_text(json.dumps(info, indent=4))
    return index


def _new_info(content: JournalContent) -> dict[str, Any]:
    from lerobot.datasets.dataset_metadata import CODEBASE_VERSION
    from lerobot.datasets.feature_utils import create_empty_dataset_info
    from lerobot.utils.constants import DEFAULT_FEATURES

    layout = content.layout
    features = features_of(layout.cameras, layout.joints) | DEFAULT_FEATURES
    empty = create_empty_dataset_info(CODEBASE_VERSION, layout.fps, features, True, layout.robot_type)
    return json.loads(json.dumps(empty.to_dict()))  # lists for tuples, as when it is read


def _last_episode(root: Path, info: Mapping[str, Any]) -> dict[str, Any] | None:
    """The newest episode's row of LeRobot's metadata, without its statistics."""
    import pyarrow.parquet as pq

    if info["total_episodes"] == 0:
        return None
    for path in sorted((root / _EPISODES).glob("*/*.parquet"), reverse=True):
        names = [name for name in pq.read_schema(path).names if not name.startswith("stats/")]
        for row in reversed(pq.read_table(path, columns=names).to_pylist()):
            if row["episode_index"] == info["total_episodes"] - 1:
                return row
    raise DatasetError(f"{root / _EPISODES} lacks episode {info['total_episodes'] - 1}")


def _next_place(info: Mapping[str, Any], last: Mapping[str, Any] | None, prefix: str) -> _Place:
    if last is None:
        return _Place(0, 0)
    return _Place(last[f"{prefix}/chunk_index"], last[f"{prefix}/file_index"]).next(info["chunks_size"])


def _stage_tasks(root: Path, stage: Path, info: Mapping[str, Any], content: JournalContent) -> dict[str, int]:
    """Writes the table of tasks with the new ones; returns the index of each task."""
    import pandas as pd
    from lerobot.datasets.io_utils import load_tasks, write_tasks

    known = load_tasks(root)["task_index"].to_dict() if info["total_tasks"] else {}
    for task in content.tasks:
        known.setdefault(task, len(known))
    index = pd.Index(list(known), name=TASK_KEY)
    write_tasks(pd.DataFrame({"task_index": list(known.values())}, index=index), stage)
    return {str(task): int(number) for task, number in known.items()}


def _stage_data(
    stage: Path,
    info: Mapping[str, Any],
    last: Mapping[str, Any] | None,
    row: dict[str, Any],
    content: JournalContent,
    tasks: Mapping[str, int],
) -> dict[str, np.ndarray]:
    """Writes one row per frame; returns the columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from lerobot.datasets.feature_utils import get_hf_features_from_features

    count = row["length"]
    numbers = np.arange(count)
    columns = {
        STATE_KEY: content.state,  # (N, D)
        ACTION_KEY: content.action,  # (N, D)
        "timestamp": (numbers / info["fps"]).astype(np.float32),  # (N,) [s]
        "frame_index": numbers,
        "episode_index": np.full(count, row["episode_index"]),
        "index": numbers + row["dataset_from_index"],
        "task_index": np.array([tasks[task] for task in content.tasks]),
    }
    schema = get_hf_features_from_features(_typed(info["features"])).arrow_schema
    table = pa.Table.from_pydict({name: list(columns[name]) for name in schema.names}, schema=schema)
    place = _next_place(info, last, "data")
    path = stage / info["data_path"].format(chunk_index=place.chunk, file_index=place.file)
    path.parent.mkdir(parents=True)
    pq.write_table(table, path, compression="snappy", use_dictionary=True)
    row |= {"data/chunk_index": place.chunk, "data/file_index": place.file}
    return columns


def _stage_videos(
    folder: Path,
    stage: Path,
    info: dict[str, Any],
    last: Mapping[str, Any] | None,
    row: dict[str, Any],
    content: JournalContent,
) -> None:
    from lerobot.datasets.video_utils import get_video_info

    for camera in content.layout.cameras:
        key = IMAGE_PREFIX + camera.name
        place = _next_place(info, last, f"videos/{key}")
        path = stage / info["video_path"].format(
            video_key=key, chunk_index=place.chunk, file_index=place.file
        )
        path.parent.mkdir(parents=True)
        remux(video_path(folder, camera.name), path, row["length"], info["fps"])
        row |= {f"videos/{key}/chunk_index": place.chunk, f"videos/{key}/file_index": place.file}
        duration = row["length"] / info["fps"]  # [s]
        row |= {f"videos/{key}/from_timestamp": 0.0, f"videos/{key}/to_timestamp": duration}
        if row["episode_index"] == 0:  # LeRobot notes there what all videos are like
            video = content.layout.video
            kept = video.keeps_jpeg(camera)
            described = get_video_info(path, video_encoder=None if kept else video.config())
            if kept:  # LeRobot would edit the dataset by an encoder of that name, and refuses this one
                described = {name: value for name, value in described.items() if name not in _OF_ENCODER}
            info["features"][key]["info"] = described
            silence_ffmpeg()


def _statistics(
    folder: Path, columns: Mapping[str, np.ndarray], features: Mapping[str, Any], content: JournalContent
) -> dict[str, dict[str, np.ndarray]]:
    """Of every feature of this episode, as LeRobot computes them."""
    from lerobot.datasets.compute_stats import compute_episode_stats

    stats = compute_episode_stats(dict(columns), dict(features))
    for camera in content.layout.cameras:
        summary = content.summaries.get(camera.name)
        if summary is None:
            summary = summarise(folder, camera.name, len(content.tasks))
        stats[IMAGE_PREFIX + camera.name] = summary.statistics()
    return stats


def summarise(folder: Path, camera: str, frames: int) -> ImageSummary:
    """The summary of a camera's images that is missing after a crash, from the images themselves."""
    summary = ImageSummary()
    for image in decode(video_path(folder, camera), frames):
        summary.add(image, fresh=False)
    return summary


def _stage_row(
    stage: Path, info: Mapping[str, Any], last: Mapping[str, Any] | None, row: dict[str, Any]
) -> None:
    """Writes the episode's row of LeRobot's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from lerobot.datasets.utils import DEFAULT_EPISODES_PATH

    place = _next_place(info, last, _EPISODES)
    row |= {f"{_EPISODES}/chunk_index": place.chunk, f"{_EPISODES}/file_index": place.file}
    path = stage / DEFAULT_EPISODES_PATH.format(chunk_index=place.chunk, file_index=place.file)
    path.parent.mkdir(parents=True)
    table = pa.Table.from_pydict({name: [value] for name, value in row.items()})
    pq.write_table(table, path, compression="snappy", use_dictionary=True)


def _stage_record(root: Path, stage: Path, index: int, content: JournalContent) -> None:
    """Writes the side table with one line more; see episode_records."""
    records = {number: record for number, record in read_records(root).items() if number < index}
    label = content.label or EpisodeLabel()
    records[index] = EpisodeRecord(
        episode_index=index,
        frames=len(content.tasks),
        success=label.success,
        passed=label.passed,
        reasons=label.reasons,
        repeated={name: spans_of(frames) for name, frames in content.repeated_frames().items()},
        recovered=label.recovered,
        recorded_ns=int(content.stamps_ns[0]),
        figures=label.figures or {},
    )
    (stage / RECORDS).write_text(records_text(records.values()))


def _typed(features: Mapping[str, Any]) -> dict[str, Any]:
    """Features with tuples for shapes, as LeRobot holds them in memory."""
    return {name: {**feature, "shape": tuple(feature["shape"])} for name, feature in features.items()}

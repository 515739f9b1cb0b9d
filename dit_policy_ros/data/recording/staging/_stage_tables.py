# SPDX-License-Identifier: Apache-2.0
"""Stages the tables of an episode: tasks, frames, LeRobot's metadata row and the recorder's side table.

LeRobot's own functions write the tables wherever it has one.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.lerobot_keys import (
    ACTION_KEY,
    CONTROLLER_KEY,
    IMAGE_PREFIX,
    INTERVENTION_KEY,
    STATE_KEY,
    TASK_KEY,
    vector_key,
)
from dit_policy_ros.data.dataset import (
    SIDE_TABLE,
    EpisodeRecord,
    format_records,
    have_columns,
    read_records,
    to_columns,
    to_spans,
)
from dit_policy_ros.data.recording._journal_format import (
    CONTROLLER_NAMES,
    EpisodeOutcome,
    JournalContent,
    images_path,
)
from dit_policy_ros.data.recording.staging._staged_episode import StagedEpisode
from dit_policy_ros.data.video import read_tiffs

_DEPTH_ROWS = 32  # that are in memory at once


def stage_tasks(episode: StagedEpisode) -> dict[str, int]:
    """Writes the table of tasks with the new ones added; returns the index of each task."""
    import pandas as pd
    from lerobot.datasets.io_utils import load_tasks, write_tasks

    known = load_tasks(episode.root)["task_index"].to_dict() if episode.info["total_tasks"] else {}
    for task in episode.content.tasks:
        known.setdefault(task, len(known))
    index = pd.Index(list(known), name=TASK_KEY)
    write_tasks(pd.DataFrame({"task_index": list(known.values())}, index=index), episode.stage)
    return {str(task): int(number) for task, number in known.items()}


def stage_frames(episode: StagedEpisode, tasks: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Writes one row per frame; returns the columns. tasks: index of each task."""
    import pyarrow as pa
    from lerobot.datasets.feature_utils import get_hf_features_from_features

    content, info, row = episode.content, episode.info, episode.row
    numbers = np.arange(episode.frames)
    columns = {
        STATE_KEY: content.state,  # (N, D)
        ACTION_KEY: content.action,  # (N, D)
        **{vector_key(name): values for name, values in content.further.items()},  # (N, K) each
        **_control_columns(content),
        "timestamp": (numbers / info["fps"]).astype(np.float32),  # (N,) [s]
        "frame_index": numbers,
        "episode_index": np.full(episode.frames, row["episode_index"]),
        "index": numbers + row["dataset_from_index"],
        "task_index": np.array([tasks[task] for task in content.tasks]),
    }
    schema = get_hf_features_from_features(_with_shape_tuples(info["features"])).arrow_schema
    # LeRobot stores vectors of one entry as plain numbers.
    flat = {name: v[:, 0] if v.ndim == 2 and v.shape[1] == 1 else v for name, v in columns.items()}
    path = episode.new_file(info["data_path"], "data")
    cameras = [camera for camera in content.header.spec.cameras if camera.is_depth]
    if not cameras:
        _write_parquet(
            pa.Table.from_pydict({name: list(flat[name]) for name in schema.names}, schema=schema), path
        )
        return columns
    cells = {IMAGE_PREFIX + camera.name: _depth_cells(episode, camera) for camera in cameras}
    with _parquet_writer(path, schema) as writer:
        for begin in range(0, episode.frames, _DEPTH_ROWS):
            rows = slice(begin, min(begin + _DEPTH_ROWS, episode.frames))
            part = {name: list(values[rows]) for name, values in flat.items()}
            part |= {key: list(islice(each, rows.stop - rows.start)) for key, each in cells.items()}
            writer.write_table(pa.Table.from_pydict({n: part[n] for n in schema.names}, schema=schema))
    return columns


def _depth_cells(episode: StagedEpisode, camera: Camera) -> Iterator[dict[str, Any]]:
    """The cells of a depth camera's images, as LeRobot writes them."""
    tiffs = read_tiffs(images_path(episode.journal, camera), episode.frames)
    for frame, content in enumerate(tiffs):
        yield {"bytes": content, "path": f"frame-{frame:06d}.tiff"}


def _control_columns(content: JournalContent) -> dict[str, np.ndarray]:
    """Who drove at each frame, (N, 1) each; nothing if that was not recorded."""
    if content.controllers is None:
        return {}
    names = np.array(CONTROLLER_NAMES)[content.controllers]  # (N,)
    return {INTERVENTION_KEY: (names == "human")[:, None], CONTROLLER_KEY: names[:, None]}


def stage_metadata_row(episode: StagedEpisode) -> None:
    """Writes the episode's row of LeRobot's metadata; nothing may be added to the row afterwards."""
    import pyarrow as pa
    from lerobot.datasets.utils import DEFAULT_EPISODES_PATH

    if have_columns(episode.root):
        episode.row.update(to_columns(episode_record(episode)))
    path = episode.new_file(DEFAULT_EPISODES_PATH, "meta/episodes")
    _write_parquet(pa.Table.from_pydict({name: [value] for name, value in episode.row.items()}), path)


def stage_side_table(episode: StagedEpisode) -> None:
    """Writes the recorder's side table with one more line; see EpisodeRecord."""
    index = episode.row["episode_index"]
    records = {number: record for number, record in read_records(episode.root).items() if number < index}
    records[index] = episode_record(episode)
    (episode.stage / SIDE_TABLE).write_text(format_records(records.values()))


def episode_record(episode: StagedEpisode) -> EpisodeRecord:
    """What the recorder knows about the episode."""
    content = episode.content
    outcome = content.outcome or EpisodeOutcome()
    return EpisodeRecord(
        episode_index=episode.row["episode_index"],
        frames=episode.frames,
        success=outcome.success,
        passed=outcome.passed,
        reasons=outcome.reasons,
        repeated={name: to_spans(frames) for name, frames in content.repeated_frames().items()},
        recovered=outcome.recovered,
        recorded_ns=int(content.stamps_ns[0]),
        figures=outcome.figures or {},
    )


def _write_parquet(table: Any, path: Path) -> None:
    """With the options that LeRobot uses."""
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="snappy", use_dictionary=True)


def _parquet_writer(path: Path, schema: Any) -> Any:
    """For a table that is written in parts, because its images would fill the memory."""
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, schema, compression="snappy", use_dictionary=True)


def _with_shape_tuples(features: Mapping[str, Any]) -> dict[str, Any]:
    """Features as LeRobot holds them in memory; JSON has lists for the shapes."""
    return {name: {**feature, "shape": tuple(feature["shape"])} for name, feature in features.items()}

# SPDX-License-Identifier: Apache-2.0
"""Stages the tables of an episode: tasks, frames, LeRobot's metadata row and the recorder's side table.

LeRobot's own functions write the tables wherever it has one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY, TASK_KEY
from dit_policy_ros.data.dataset import SIDE_TABLE, EpisodeRecord, format_records, read_records, to_spans
from dit_policy_ros.data.recording._journal_format import EpisodeOutcome
from dit_policy_ros.data.recording._staged_episode import StagedEpisode


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
        "timestamp": (numbers / info["fps"]).astype(np.float32),  # (N,) [s]
        "frame_index": numbers,
        "episode_index": np.full(episode.frames, row["episode_index"]),
        "index": numbers + row["dataset_from_index"],
        "task_index": np.array([tasks[task] for task in content.tasks]),
    }
    schema = get_hf_features_from_features(_with_shape_tuples(info["features"])).arrow_schema
    table = pa.Table.from_pydict({name: list(columns[name]) for name in schema.names}, schema=schema)
    _write_parquet(table, episode.new_file(info["data_path"], "data"))
    return columns


def stage_metadata_row(episode: StagedEpisode) -> None:
    """Writes the episode's row of LeRobot's metadata; nothing may be added to the row afterwards."""
    import pyarrow as pa
    from lerobot.datasets.utils import DEFAULT_EPISODES_PATH

    path = episode.new_file(DEFAULT_EPISODES_PATH, "meta/episodes")
    _write_parquet(pa.Table.from_pydict({name: [value] for name, value in episode.row.items()}), path)


def stage_side_table(episode: StagedEpisode) -> None:
    """Writes the recorder's side table with one more line; see EpisodeRecord."""
    index, content = episode.row["episode_index"], episode.content
    records = {number: record for number, record in read_records(episode.root).items() if number < index}
    outcome = content.outcome or EpisodeOutcome()
    records[index] = EpisodeRecord(
        episode_index=index,
        frames=episode.frames,
        success=outcome.success,
        passed=outcome.passed,
        reasons=outcome.reasons,
        repeated={name: to_spans(frames) for name, frames in content.repeated_frames().items()},
        recovered=outcome.recovered,
        recorded_ns=int(content.stamps_ns[0]),
        figures=outcome.figures or {},
    )
    (episode.stage / SIDE_TABLE).write_text(format_records(records.values()))


def _write_parquet(table: Any, path: Path) -> None:
    """With the options that LeRobot uses."""
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="snappy", use_dictionary=True)


def _with_shape_tuples(features: Mapping[str, Any]) -> dict[str, Any]:
    """Features as LeRobot holds them in memory; JSON has lists for the shapes."""
    return {name: {**feature, "shape": tuple(feature["shape"])} for name, feature in features.items()}

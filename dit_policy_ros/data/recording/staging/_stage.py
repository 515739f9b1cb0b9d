# SPDX-License-Identifier: Apache-2.0
"""Stages an episode: prepares the files that it adds to a LeRobotDataset v3 or changes in it.

They are written into a staging folder. Each episode gets its own files, so the cost does not grow with the
dataset.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import INFO_FILE, check_compatible, read_info, read_records
from dit_policy_ros.data.recording._journal_format import MIN_FRAMES, JournalContent
from dit_policy_ros.data.recording._journal_reader import read_journal
from dit_policy_ros.data.recording.staging._stage_tables import (
    stage_frames,
    stage_metadata_row,
    stage_side_table,
    stage_tasks,
)
from dit_policy_ros.data.recording.staging._stage_videos import episode_statistics, image_counts, stage_videos
from dit_policy_ros.data.recording.staging._staged_episode import StagedEpisode


def stage_episode(root: Path, journal: Path, stage: Path) -> int:
    """Writes all files that a saved episode adds or changes into `stage`, under their final names.

    Args:
        root: the dataset, read only.
        journal: the episode's folder.
        stage: the staging folder; it must not exist.

    Returns:
        The index of the episode.

    Raises:
        DatasetError: the episode was not saved, or the dataset is damaged.
        OSError: the disk fails.
    """
    from lerobot.datasets.compute_stats import aggregate_stats
    from lerobot.datasets.io_utils import load_stats, write_stats

    content = read_journal(journal)
    count = len(content.tasks)
    if content.outcome is None:
        raise DatasetError("the episode was not saved")
    if count < MIN_FRAMES:
        raise DatasetError(f"expected at least {MIN_FRAMES} whole frames in its files, got {count}")
    info = read_info(root) if (root / INFO_FILE).exists() else _new_info(content)
    check_compatible(root, info, content.header.spec)
    index, first = info["total_episodes"], info["total_frames"]
    row: dict[str, Any] = {"episode_index": index, "length": count, "tasks": sorted(set(content.tasks))}
    row |= {"dataset_from_index": first, "dataset_to_index": first + count}
    episode = StagedEpisode(root, journal, stage, content, info, row, _last_row(root, info))
    (stage / "meta").mkdir(parents=True)
    tasks = stage_tasks(episode)
    columns = stage_frames(episode, tasks)
    stage_videos(episode)
    stats = episode_statistics(episode, columns)
    for feature, values in stats.items():
        row |= {f"stats/{feature}/{name}": value.tolist() for name, value in values.items()}
    stage_metadata_row(episode)
    old = image_counts(load_stats(root), info) if index else None
    write_stats(aggregate_stats([old, stats]) if old else stats, stage)
    stage_side_table(episode)
    info |= {"total_episodes": index + 1, "total_frames": first + count}
    info |= {"total_tasks": len(tasks), "splits": {"train": f"0:{index + 1}"}}
    (stage / INFO_FILE).write_text(json.dumps(info, indent=4))
    return index


def check_extendable(root: Path) -> None:
    """Reads all that `stage_episode` reads of the dataset. Raises what it would raise."""
    from lerobot.datasets.io_utils import load_stats, load_tasks

    if not (root / INFO_FILE).exists():
        return
    info = read_info(root)
    _last_row(root, info)
    read_records(root)
    if info["total_episodes"]:
        load_stats(root)
    if info["total_tasks"]:
        load_tasks(root)


def _new_info(content: JournalContent) -> dict[str, Any]:
    """info.json of a dataset without episodes."""
    from lerobot.datasets.dataset_metadata import CODEBASE_VERSION
    from lerobot.datasets.feature_utils import create_empty_dataset_info
    from lerobot.utils.constants import DEFAULT_FEATURES

    spec = content.header.spec
    features = spec.features() | DEFAULT_FEATURES
    empty = create_empty_dataset_info(CODEBASE_VERSION, int(spec.fps), features, True, spec.robot_type)
    return json.loads(json.dumps(empty.to_dict()))  # lists instead of tuples, as if read from a file


def _last_row(root: Path, info: Mapping[str, Any]) -> dict[str, Any] | None:
    """The last episode's row of LeRobot's metadata, without its statistics."""
    import pyarrow.parquet as pq

    if info["total_episodes"] == 0:
        return None
    folder = root / "meta" / "episodes"
    for path in sorted(folder.glob("*/*.parquet"), reverse=True):
        names = [name for name in pq.read_schema(path).names if not name.startswith("stats/")]
        for row in reversed(pq.read_table(path, columns=names).to_pylist()):
            if row["episode_index"] == info["total_episodes"] - 1:
                return row
    raise DatasetError(f"{folder} lacks episode {info['total_episodes'] - 1}")

# SPDX-License-Identifier: Apache-2.0
"""The episodes of a dataset with their checks, and the number of demonstrations of each task."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dit_policy_ros.data.dataset._files import check_readable
from dit_policy_ros.data.dataset._side_table import EpisodeRecord, read_records

MIN_DEMONSTRATIONS = 50  # of one task; fewer are too few to learn from
TARGET_DEMONSTRATIONS = 300  # of one task; more hardly help


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """One episode. seconds: its duration [s]. record: None if another program recorded it."""

    index: int
    tasks: tuple[str, ...]
    frames: int
    seconds: float
    record: EpisodeRecord | None


def episode_rows(root: Path) -> list[EpisodeRow]:
    """All episodes of a dataset, in order. Raises DatasetError."""
    import pyarrow.parquet as pq

    info = check_readable(root)
    records = read_records(root)
    rows: dict[int, EpisodeRow] = {}
    for path in sorted((root / "meta" / "episodes").glob("*/*.parquet")):
        for row in pq.read_table(path, columns=["episode_index", "tasks", "length"]).to_pylist():
            index, length = row["episode_index"], row["length"]
            rows[index] = EpisodeRow(
                index, tuple(row["tasks"]), length, length / info["fps"], records.get(index)
            )
    return [rows[index] for index in range(info["total_episodes"])]


def task_counts(rows: Sequence[EpisodeRow]) -> dict[str, int]:
    """Episodes that passed their check, by task, most frequent first. A task without any counts 0."""
    counts = Counter({task: 0 for row in rows for task in row.tasks})
    counts.update(task for row in rows if row.record is None or row.record.passed for task in row.tasks)
    return dict(counts.most_common())

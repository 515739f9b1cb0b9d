# SPDX-License-Identifier: Apache-2.0
"""The episodes of a dataset with their checks, and the number of demonstrations of each task."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dit_policy_ros.data.dataset._flags import episode_records
from dit_policy_ros.data.dataset._side_table import EpisodeRecord
from dit_policy_ros.data.description import check_readable

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
    records = episode_records(root)
    rows: dict[int, EpisodeRow] = {}
    for path in sorted((root / "meta" / "episodes").glob("*/*.parquet")):
        for row in pq.read_table(path, columns=["episode_index", "tasks", "length"]).to_pylist():
            index, length = row["episode_index"], row["length"]
            rows[index] = EpisodeRow(
                index, tuple(row["tasks"]), length, length / info["fps"], records.get(index)
            )
    return [rows[index] for index in range(info["total_episodes"])]


@dataclass(slots=True)
class TaskCount:
    """How many episodes of a task there are. An episode that failed in both ways counts as rejected.

    good: demonstrations to learn from. failed: labelled a failure by the operator. rejected: failed the
    recorder's check.
    """

    good: int = 0
    failed: int = 0
    rejected: int = 0


def task_counts(rows: Sequence[EpisodeRow]) -> dict[str, TaskCount]:
    """The episodes of each task, the task with most good ones first."""
    counts: dict[str, TaskCount] = {}
    for row in rows:
        for task in row.tasks:
            count = counts.setdefault(task, TaskCount())
            if row.record is not None and not row.record.passed:
                count.rejected += 1
            elif row.record is not None and row.record.success is False:
                count.failed += 1
            else:
                count.good += 1
    return dict(sorted(counts.items(), key=lambda item: -item[1].good))

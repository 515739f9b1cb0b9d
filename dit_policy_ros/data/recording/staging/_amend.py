# SPDX-License-Identifier: Apache-2.0
"""Amends a dataset that another program has extended while a commit was half done.

A crash can end a commit between two of its moves. If LeRobot then appends episodes before the recorder starts
again, it may have found some of our files. Nothing that it wrote is removed or overwritten. Each function can
be repeated after a crash.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.data.dataset import INFO_FILE, SIDE_TABLE, format_records, read_info, read_records

EPISODES = ("meta", "episodes")  # folder of LeRobot's metadata rows
_PLACE = [
    "length",
    "dataset_from_index",
    "dataset_to_index",
    "data/chunk_index",
    "data/file_index",
]
_STATISTICS = "stats/"  # prefix of their columns with statistics


def forget_episode(root: Path, index: int) -> None:
    """Removes an episode that was not added from the side table and from the statistics."""
    from lerobot.datasets.compute_stats import aggregate_stats
    from lerobot.datasets.io_utils import write_stats

    records = read_records(root)
    if any(number >= index for number in records):
        kept = [record for number, record in records.items() if number < index]
        write_atomically(root / SIDE_TABLE, format_records(kept), durable=True)
    rows = [row for _, table in _tables(root) for row in table.to_pylist()]
    stats = aggregate_stats([_statistics(row) for row in rows])

    def write(partial: Path) -> None:
        folder = partial.with_name(f"{partial.name}.folder")
        (folder / "meta").mkdir(parents=True)
        write_stats(stats, folder)
        (folder / "meta" / "stats.json").rename(partial)
        (folder / "meta").rmdir()
        folder.rmdir()

    write_atomically(root / "meta" / "stats.json", write, durable=True)


def renumber_episodes(root: Path) -> None:
    """Numbers all episodes and frames in the order of their metadata rows, and counts them in info.json.

    LeRobot has put its row behind that of an episode that info.json did not count yet. It has given its
    episode the same number, and its frames the numbers that follow info.json's.
    """
    import pyarrow.parquet as pq

    tables = list(_tables(root))
    rows = [row for _, table in tables for row in table.select(_PLACE).to_pylist()]
    rows.sort(key=lambda row: row["dataset_from_index"])
    info = read_info(root)
    files: dict[Path, list[tuple[int, dict[str, int]]]] = {}  # with the number and the row of each episode
    for number, row in enumerate(rows):
        place = {"chunk_index": row["data/chunk_index"], "file_index": row["data/file_index"]}
        files.setdefault(root / info["data_path"].format(**place), []).append((number, row))
    for path, episodes in files.items():
        numbers = np.repeat(
            [number for number, _ in episodes], [row["length"] for _, row in episodes]
        )  # (F,)
        first = episodes[0][1]["dataset_from_index"]
        columns = {"episode_index": numbers, "index": np.arange(first, first + len(numbers))}
        _rewrite(path, pq.read_table(path), columns)
    starts = [row["dataset_from_index"] for row in rows]  # (N,)
    for path, table in tables:
        _rewrite(
            path, table, {"episode_index": np.searchsorted(starts, np.array(table["dataset_from_index"]))}
        )
    info |= {"total_episodes": len(rows), "total_frames": rows[-1]["dataset_to_index"]}
    info["splits"] = {"train": f"0:{len(rows)}"}
    write_atomically(root / INFO_FILE, json.dumps(info, indent=4), durable=True)


def _rewrite(path: Path, table: Any, columns: dict[str, np.ndarray]) -> None:
    """Replaces columns of a table in a file, unless they are right already."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if all(table[name].to_pylist() == values.tolist() for name, values in columns.items()):
        return
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        field = table.schema.field(at)
        table = table.set_column(at, field, pa.array(values, field.type))
    write_atomically(path, lambda partial: pq.write_table(table, partial), durable=True)


def _tables(root: Path) -> Iterator[tuple[Path, Any]]:
    """The files with LeRobot's metadata rows, and their content."""
    import pyarrow.parquet as pq

    for path in sorted(root.joinpath(*EPISODES).glob("*/*.parquet")):
        yield path, pq.read_table(path)


def _statistics(row: dict[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """The statistics in a metadata row, by feature and name."""
    stats: dict[str, dict[str, np.ndarray]] = {}
    for column, value in row.items():
        if column.startswith(_STATISTICS):
            feature, name = column.removeprefix(_STATISTICS).rsplit("/", 1)
            stats.setdefault(feature, {})[name] = np.array(value)
    return stats

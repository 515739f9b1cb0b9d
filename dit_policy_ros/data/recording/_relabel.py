# SPDX-License-Identifier: Apache-2.0
"""Changes the operator's label, or the instruction, of episodes that are in the dataset."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.core.atomic_files import make_folders, write_atomically
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import TASK_KEY
from dit_policy_ros.core.problems import listing
from dit_policy_ros.data.dataset import (
    INFO_FILE,
    JOURNAL_FOLDER,
    SIDE_TABLE,
    EpisodeRecord,
    episode_records,
    episode_rows,
    format_records,
    metadata_files,
    read_info,
    write_columns,
)
from dit_policy_ros.data.lock import DatasetLock
from dit_policy_ros.data.recording._quarantine import tidy

TASKS_FILE = Path("meta") / "tasks.parquet"


def relabel_episodes(root: Path, labels: Mapping[int, bool]) -> None:
    """Gives episodes of a dataset another label, in the side table and in LeRobot's metadata.

    Each file is replaced at once. After a crash in between, the side table counts, and the same call can be
    repeated.

    Args:
        root: the dataset's folder.
        labels: whether the task was done, by episode index.

    Raises:
        DatasetError: an index does not exist, the dataset is being recorded, or a file cannot be written.
    """
    root = root.absolute()
    _frames(root, labels)  # raises before anything is created
    make_folders(root / JOURNAL_FOLDER)
    try:
        lock = DatasetLock(root / JOURNAL_FOLDER / "lock", root)
        try:
            write_labels(root, labels)
        finally:
            lock.release()
            tidy(root)
    except OSError as error:
        raise DatasetError(f"dataset {root} could not be labelled: {error}") from error


def write_labels(root: Path, labels: Mapping[int, bool]) -> None:
    """As `relabel_episodes`, for who has locked the dataset. Raises DatasetError or OSError."""
    frames, records = _frames(root, labels), episode_records(root)
    for index, success in labels.items():
        records[index] = replace(records.get(index) or EpisodeRecord(index, frames[index]), success=success)
    write_atomically(root / SIDE_TABLE, format_records(records.values()), durable=True)
    write_columns(root, {index: records[index] for index in labels})


def write_task(root: Path, index: int, task: str) -> None:
    """Gives an episode of a dataset another instruction, for who has locked the dataset.

    Each file is replaced at once: first the table of tasks, then the frames, then LeRobot's metadata. After a
    crash in between, the same call can be repeated.

    Raises:
        DatasetError: the index does not exist. OSError if a file cannot be written.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    from lerobot.datasets.io_utils import load_tasks

    frames, info = _frames(root, (index,))[index], read_info(root)
    known = {str(name): int(number) for name, number in load_tasks(root)["task_index"].items()}
    if task not in known:
        known[task] = max(known.values(), default=-1) + 1
        names = pd.Index(list(known), name=TASK_KEY)
        table = pd.DataFrame({"task_index": list(known.values())}, index=names)
        write_atomically(root / TASKS_FILE, table.to_parquet, durable=True)
        info["total_tasks"] = len(known)
        write_atomically(root / INFO_FILE, json.dumps(info, indent=4), durable=True)
    number = known[task]

    def write(table: pa.Table, path: Path) -> None:
        write_atomically(path, lambda partial: pq.write_table(table, partial), durable=True)

    for path in metadata_files(root):
        table = pq.read_table(path)
        rows = table["episode_index"].to_pylist()
        if index not in rows:
            continue
        row = table.slice(rows.index(index), 1).to_pylist()[0]
        place = {"chunk_index": row["data/chunk_index"], "file_index": row["data/file_index"]}
        data_path = root / info["data_path"].format(**place)
        data = pq.read_table(data_path)
        is_ours = data["episode_index"].to_numpy() == index  # (F,)
        if int(is_ours.sum()) != frames:
            raise DatasetError(
                f"{data_path} has {int(is_ours.sum())} frames of episode {index}, not {frames}"
            )
        column = np.where(is_ours, number, data["task_index"].to_numpy())  # (F,)
        write(_with_column(data, "task_index", column.tolist()), data_path)
        tasks = [
            [task] if each == index else old
            for each, old in zip(rows, table["tasks"].to_pylist(), strict=True)
        ]
        table = _with_column(table, "tasks", tasks)
        for name in ("min", "max", "mean"):
            key = f"stats/task_index/{name}"
            if key in table.column_names:
                old = table[key].to_pylist()
                new = [[number] if each == index else value for each, value in zip(rows, old, strict=True)]
                table = _with_column(table, key, new)
        write(table, path)


def _with_column(table: Any, name: str, values: list[Any]) -> Any:
    """A copy of an Arrow table with one column replaced."""
    import pyarrow as pa

    at = table.schema.get_field_index(name)
    field = table.schema.field(at)
    return table.set_column(at, field, pa.array(values, field.type))


def _frames(root: Path, indices: Iterable[int]) -> dict[int, int]:
    """Number of frames of each episode. Raises DatasetError if one of the indices does not exist."""
    rows = episode_rows(root)
    if unknown := sorted(set(indices) - set(range(len(rows)))):
        raise DatasetError(
            f"dataset {root}: expected episodes from 0 to {len(rows) - 1}, got {listing(map(str, unknown))}"
        )
    return {index: row.frames for index, row in enumerate(rows)}

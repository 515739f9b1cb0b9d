# SPDX-License-Identifier: Apache-2.0
"""Checks a dataset folder before LeRobot opens it: can we write to it, can we read it?

LeRobot reacts to a missing or damaged file by asking the model hub for it. These checks name the real reason.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.problems import Problems
from dit_policy_ros.data.description._info_rules import check_values

INFO_FILE = Path("meta") / "info.json"
JOURNAL_FOLDER = "journal"  # in the dataset's folder; holds the episodes that are not in the dataset yet
_VERSION = "v3."


def check_writable(root: Path) -> None:
    """Raises DatasetError if a path is a file, or we may not write there."""
    if root.exists() and not root.is_dir():
        raise DatasetError(
            f"dataset path {root} is a file; give a folder, which is created if it does not exist"
        )
    parent = nearest_existing(root)
    if not parent.is_dir():
        raise DatasetError(f"dataset path {root} cannot be created: {parent} is a file")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise DatasetError(f"dataset path {root} cannot be written: no permission to write in {parent}")


def inspect_folder(root: Path) -> dict[str, Any] | None:
    """The content of a dataset's info.json; None if the folder is missing or empty.

    Raises DatasetError if the folder holds something else, or the dataset is damaged.
    """
    if not root.exists() or not any(path.name != JOURNAL_FOLDER for path in root.iterdir()):
        return None
    if not (root / INFO_FILE).exists():
        raise DatasetError(
            f"{root} is not empty and not a LeRobot dataset ({INFO_FILE} is missing); give another folder or "
            f"empty it"
        )
    info = read_info(root)
    _check_tables(root, info)
    return info


def check_readable(root: Path) -> dict[str, Any]:
    """The content of a dataset's info.json, after checks that all of the dataset can be read.

    Raises DatasetError if there is no dataset, it is damaged, or it has no episodes.
    """
    if not (root / INFO_FILE).is_file():
        raise DatasetError(f"dataset {root}: looked for {root / INFO_FILE}, which does not exist")
    info = read_info(root)
    _check_tables(root, info)
    if info["total_episodes"] == 0:
        raise DatasetError(f"dataset {root}: expected at least one episode, got none; record some first")
    return info


def nearest_existing(path: Path) -> Path:
    """The path itself, or its nearest parent that exists."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def folder_size(root: Path) -> int:
    """Size of the files in a folder [byte]; files may disappear meanwhile."""
    total = 0
    for path in root.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def read_info(root: Path) -> dict[str, Any]:
    """The content of a dataset's info.json. Raises DatasetError if it is damaged or has another version."""
    try:
        info = json.loads((root / INFO_FILE).read_text())
        version, complete = info["codebase_version"], {"fps", "features", "total_episodes", "total_frames"}
        missing = sorted(complete - info.keys())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{root / INFO_FILE} is damaged ({error!r}); the dataset cannot be used"
        ) from error
    if not str(version).startswith(_VERSION):
        raise DatasetError(
            f"{root} is a LeRobot dataset of version {version}, expected {_VERSION}x."
            f"{_conversion(root, version)}"
        )
    if missing:
        raise DatasetError(f"{root / INFO_FILE} is damaged: it lacks {', '.join(missing)}")
    problems = Problems(str(root / INFO_FILE))
    check_values(info, problems)
    problems.raise_if_any(DatasetError, "The dataset's description is damaged; correct it")
    return info


def _conversion(root: Path, version: object) -> str:
    """How to convert a dataset of an older version."""
    if not str(version).startswith("v2."):
        return ""
    before = "" if str(version) == "v2.1" else " (LeRobot 0.1 to 0.3 convert it to v2.1 first)"
    return (
        f" Convert it with LeRobot{before}: python -m lerobot.scripts.convert_dataset_v21_to_v30 "
        f"--repo-id=local/{root.name} --root={root} --push-to-hub=false"
    )


def _check_tables(root: Path, info: Mapping[str, Any]) -> None:
    """Checks that the tables can be read and have as many rows as info.json says."""
    if info["total_episodes"] == 0:
        return  # created, but without episodes
    counts = {"meta/episodes": info["total_episodes"], "data": info["total_frames"]}
    for folder, expected in counts.items():
        rows = sum(_rows(path) for path in sorted((root / folder).glob("*/*.parquet")))
        # An interrupted commit may have added its table already. LeRobot ignores rows beyond info.json.
        interrupted = rows > expected and any((root / JOURNAL_FOLDER).glob("*/plan.json"))
        if rows != expected and not interrupted:
            raise DatasetError(
                f"{root / folder} is damaged: {INFO_FILE} says {expected} rows, the tables have {rows}"
            )
    _rows(root / "meta" / "tasks.parquet")


def _rows(path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{path} is damaged or missing: {error}") from error

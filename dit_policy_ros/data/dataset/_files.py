# SPDX-License-Identifier: Apache-2.0
"""Looks at a dataset folder before LeRobot does: can episodes be added to it, can it be read?

LeRobot answers a missing or damaged file by asking the model hub for it; the user deserves the reason.
"""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.core.problems import Problems

INFO = Path("meta") / "info.json"
JOURNAL = "journal"  # folder of the episodes that are not in the dataset yet
_VERSION = "v3."


def features_of(cameras: Sequence[Camera], joints: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The dataset's features under the names that LeRobot expects."""
    features: dict[str, dict[str, Any]] = {
        IMAGE_PREFIX + camera.name: {
            "dtype": "video",
            "shape": (camera.height, camera.width, 3),
            "names": ["height", "width", "channels"],
        }
        for camera in cameras
    }
    for name in (STATE_KEY, ACTION_KEY):
        features[name] = {"dtype": "float32", "shape": (len(joints),), "names": list(joints)}
    return features


def check_place(root: Path) -> None:
    """Raises DatasetError if a path is a file, or nothing can be written there."""
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
    """The content of a dataset's info.json, or None where a new dataset can be created.

    Raises DatasetError if the folder holds something else, or the dataset is damaged.
    """
    if not root.exists() or not any(path.name != JOURNAL for path in root.iterdir()):
        return None
    if not (root / INFO).exists():
        raise DatasetError(
            f"{root} is not empty and no LeRobot dataset ({INFO} is missing); give another folder or empty it"
        )
    info = read_info(root)
    _check_tables(root, info)
    return info


def check_readable(root: Path) -> dict[str, Any]:
    """The content of a dataset's info.json, for reading it.

    Raises DatasetError if there is no dataset, it is damaged, or no episode has been saved in it.
    """
    if not (root / INFO).is_file():
        raise DatasetError(f"dataset {root}: looked for {root / INFO}, which does not exist")
    info = read_info(root)
    _check_tables(root, info)
    if info["total_episodes"] == 0:
        raise DatasetError(f"dataset {root}: expected episodes, but none has been saved in it yet")
    return info


def nearest_existing(path: Path) -> Path:
    """The path itself or the nearest folder above it that exists."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def folder_size(root: Path) -> int:
    """Bytes of all files in a folder, which may be moved meanwhile."""
    total = 0
    for path in root.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def check_same(
    root: Path, info: Mapping[str, Any], fps: int, robot_type: str, features: Mapping[str, Mapping[str, Any]]
) -> None:
    """Raises DatasetError that lists every way in which a dataset differs from what would be recorded."""
    problems = Problems(str(root / INFO))
    if info.get("fps") != fps:
        problems.add("fps", f"{fps} Hz as in the contract", f"{info.get('fps')} Hz")
    if info.get("robot_type") != robot_type:
        problems.add("robot_type", f"'{robot_type}' as in the contract", f"'{info.get('robot_type')}'")
    recorded = {
        key: feature
        for key, feature in info["features"].items()
        if key.startswith("observation.") or key == ACTION_KEY
    }
    for key in sorted(features.keys() | recorded.keys()):
        if key not in recorded or key not in features:
            has, lacks = ("contract", "dataset") if key in features else ("dataset", "contract")
            problems.add_line(f"{key}: the {has} has it, the {lacks} does not")
            continue
        for aspect in ("dtype", "shape", "names"):
            expected, got = _plain(features[key][aspect]), _plain(recorded[key].get(aspect))
            if expected != got:
                problems.add(f"{key} {aspect}", f"{expected} as in the contract", f"{got}")
    problems.raise_if_any(
        DatasetError,
        "The dataset was recorded with another contract. Record into a new folder, or use that contract",
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value


def read_info(root: Path) -> dict[str, Any]:
    """The content of a dataset's info.json. Raises DatasetError if it is damaged or of another version."""
    try:
        info = json.loads((root / INFO).read_text())
        version, complete = info["codebase_version"], {"fps", "features", "total_episodes", "total_frames"}
        missing = sorted(complete - info.keys())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{root / INFO} is damaged ({error!r}); the dataset cannot be used") from error
    if not str(version).startswith(_VERSION):
        raise DatasetError(
            f"{root} is a LeRobot dataset of version {version}, expected {_VERSION}x; convert it with LeRobot"
        )
    if missing:
        raise DatasetError(f"{root / INFO} is damaged: it lacks {', '.join(missing)}")
    return info


def _check_tables(root: Path, info: Mapping[str, Any]) -> None:
    """The tables must be whole and hold the rows that info.json promises."""
    if info["total_episodes"] == 0:
        return  # created, but nothing saved yet
    counts = {"meta/episodes": info["total_episodes"], "data": info["total_frames"]}
    for folder, expected in counts.items():
        rows = sum(_rows(path) for path in sorted((root / folder).glob("*/*.parquet")))
        # An episode whose commit was interrupted may be there already; nobody looks at it.
        interrupted = rows > expected and any((root / JOURNAL).glob("*/plan.json"))
        if rows != expected and not interrupted:
            raise DatasetError(
                f"{root / folder} is damaged: {INFO} promises {expected} rows, the tables hold {rows}"
            )
    _rows(root / "meta" / "tasks.parquet")


def _rows(path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{path} is damaged or missing: {error}") from error

# SPDX-License-Identifier: Apache-2.0
"""What the values of a dataset's info.json must be, whoever wrote it, before they are used."""

from collections.abc import Mapping
from typing import Any

from dit_policy_ros.core.problems import Problems, show

_COUNTS = ("total_episodes", "total_frames", "total_tasks")  # LeRobot's readers do without total_tasks
# What must be in the names of new files, so that no file replaces another one.
_PATHS = {
    "data_path": ("{chunk_index", "{file_index"),
    "video_path": ("{video_key", "{chunk_index", "{file_index"),
}


def check_values(info: dict[str, Any], problems: Problems) -> None:
    """Adds a problem for each value that no reader could use; makes whole numbers of 30.0 and the like."""
    for name in _COUNTS:
        if name in info:
            _whole_number(info, name, 0, problems)
    features = info["features"]
    if not isinstance(features, dict):
        problems.add("features", "one entry per feature", show(features))
        return
    for key, feature in features.items():
        if not isinstance(feature, dict) or not isinstance(feature.get("dtype"), str):
            problems.add(f"features.{key}", "a group with a dtype", show(feature))
        elif not _is_shape(feature.get("shape", [])):
            problems.add(
                f"features.{key}.shape",
                "a list of whole numbers, none of them negative",
                show(feature["shape"]),
            )
        else:
            _check_marks(key, feature, problems)
    has_videos = any(isinstance(each, dict) and each.get("dtype") == "video" for each in features.values())
    for name in ("data_path", *(("video_path",) if has_videos else ())):
        if name in info and not isinstance(info[name], str):
            problems.add(name, "a path", show(info[name]))


def _check_marks(key: str, feature: Mapping[str, Any], problems: Problems) -> None:
    """What is said of a camera beside its shape; a text "false" would count as true."""
    for group in ("info", "video_info"):
        marks = feature.get(group)
        if not isinstance(marks, dict | None):
            problems.add(f"features.{key}.{group}", "a group, or nothing", show(marks))
            continue
        for name in ("is_depth_map", "video.is_depth_map"):
            mark = (marks or {}).get(name)
            if not isinstance(mark, bool | None):
                problems.add(f"features.{key}.{group}.{name}", "true or false", show(mark))


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and all(type(length) is int and length >= 0 for length in value)


def check_extendable_values(info: Mapping[str, Any], has_cameras: bool, problems: Problems) -> None:
    """Adds a problem for each value that adding an episode needs and could not use."""
    _whole_number(dict(info), "chunks_size", 1, problems)
    _whole_number(dict(info), "total_tasks", 0, problems)
    for name, parts in _PATHS.items():
        path = info.get(name)
        is_needed = has_cameras or name != "video_path"
        if is_needed and not (isinstance(path, str) and all(part in path for part in parts)):
            problems.add(name, f"a path with {' and '.join(part + '}' for part in parts)}", show(path))


def _whole_number(info: dict[str, Any], name: str, least: int, problems: Problems) -> None:
    value: Any = info.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and float(value).is_integer() and value >= least):
        problems.add(name, f"a whole number, at least {least}", show(value))
        return
    info[name] = int(value)

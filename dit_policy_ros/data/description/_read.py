# SPDX-License-Identifier: Apache-2.0
"""Reads the description of a dataset from its info.json, and compares the descriptions of several."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, OBSERVATION_PREFIX, STATE_KEY
from dit_policy_ros.core.problems import Problems, show
from dit_policy_ros.data.description._cameras import (
    CAMERA_TYPES,
    CameraFeature,
    choose_cameras,
    read_camera,
    with_names,
)
from dit_policy_ros.data.description._description import DatasetDescription
from dit_policy_ros.data.description._entry_names import entry_names
from dit_policy_ros.data.description._files import INFO_FILE, check_readable
from dit_policy_ros.data.description._vectors import VectorFeature, choose_vectors

_BOOKKEEPING = ("timestamp", "frame_index", "episode_index", "index", "task_index")
_NUMBERS = ("float16", "float32", "float64", "bool")  # and the integers


def describe_dataset(root: Path) -> DatasetDescription:
    """The description of a dataset. Raises DatasetError if it is not one, is damaged or has no episodes."""
    return describe_info(root, check_readable(root))


def describe_info(root: Path, info: Mapping[str, Any]) -> DatasetDescription:
    """The description of the dataset whose info.json has this content. Raises DatasetError."""
    features = info["features"]
    if not isinstance(features, Mapping) or not all(
        isinstance(each, Mapping) and isinstance(each.get("dtype"), str) for each in features.values()
    ):
        raise DatasetError(f"{root / INFO_FILE} is damaged: each of its features needs a dtype")
    cameras: list[CameraFeature] = []
    vectors: dict[str, VectorFeature] = {}
    unused: dict[str, str] = {}
    for key, feature in features.items():
        if key in _BOOKKEEPING:
            continue
        if feature["dtype"] in CAMERA_TYPES:
            cameras.append(read_camera(key, feature))
        elif not _is_number(feature["dtype"]):
            unused[key] = f"{feature['dtype']} is no number"
        elif key in (STATE_KEY, ACTION_KEY):
            vectors[key] = _vector(root, key, feature)
        elif key.startswith(f"{ACTION_KEY}."):
            unused[key] = f"a policy commands '{ACTION_KEY}' alone"
        elif not key.startswith(OBSERVATION_PREFIX):
            unused[key] = "it is not observed (its key does not begin with 'observation.')"
        elif (vector := _vector(root, key, feature)).dim > 0:
            vectors[key] = vector
        else:
            unused[key] = f"its shape {vector.shape} has no entries"
    robot_type = info.get("robot_type")
    return DatasetDescription(
        root=root,
        version=str(info["codebase_version"]),
        fps=_read_fps(root, info["fps"]),
        robot_type=None if robot_type is None else str(robot_type),
        state=vectors.pop(STATE_KEY, None),
        action=vectors.pop(ACTION_KEY, None),
        cameras=with_names(cameras),
        vectors=tuple(vectors.values()),
        unused=unused,
    )


def _vector(root: Path, key: str, feature: Mapping[str, Any]) -> VectorFeature:
    shape = feature.get("shape")
    if not isinstance(shape, Sequence) or not shape or not all(isinstance(n, int) for n in shape):
        raise DatasetError(
            f"{root / INFO_FILE}: {key}: shape: expected a list of whole numbers, got {show(shape)}"
        )
    if len(shape) > 1:
        return VectorFeature(key, tuple(shape), note="its axes are read row after row")
    names, note = entry_names(feature.get("names"), shape[0])
    return VectorFeature(key, tuple(shape), names, note)


def _is_number(dtype: str) -> bool:
    return dtype in _NUMBERS or dtype.startswith(("int", "uint"))


def _read_fps(root: Path, fps: Any) -> float:
    """Frames per second [Hz]: LeRobot writes a whole number, its own conversion from v2.1 a decimal one."""
    is_number = isinstance(fps, int | float) and not isinstance(fps, bool)
    if not (is_number and math.isfinite(fps) and fps > 0):
        raise DatasetError(
            f"{root / INFO_FILE}: fps: expected a number above 0 [Hz], got {show(fps)}; correct it"
        )
    return float(fps)


def check_same_features(
    descriptions: Sequence[DatasetDescription],
    cameras: Sequence[CameraFeature],
    vectors: Sequence[VectorFeature] = (),
) -> None:
    """Raises DatasetError if a dataset has not the fps, entries, cameras and vectors of the first one."""
    first, *others = descriptions
    for other in others:
        problems = Problems(str(other.root))
        if other.fps != first.fps:
            problems.add("fps", f"{first.fps:g} Hz", f"{other.fps:g} Hz")
        same = choose_vectors(other.vectors, [each.key for each in vectors], other.source)
        mine = (*first.state_and_action(), *vectors)
        for expected, got in zip(mine, (*other.state_and_action(), *same), strict=True):
            if (expected.dim, expected.names) != (got.dim, got.names):
                problems.add(f"{expected.key} names", _names(expected), _names(got))
        for camera in choose_cameras(other.cameras, [each.key for each in cameras], other.source):
            own = next(each for each in cameras if each.key == camera.key)
            if (own.height, own.width) != (camera.height, camera.width):
                problems.add(
                    f"{camera.key} size", f"{own.width}x{own.height}", f"{camera.width}x{camera.height}"
                )
        problems.raise_if_any(
            DatasetError,
            f"The dataset does not fit {first.root}. Datasets read together need the same contract",
        )


def _names(feature: VectorFeature) -> str:
    return str(list(feature.names)) if feature.names else f"{feature.dim} entries without names"

# SPDX-License-Identifier: Apache-2.0
"""Opens LeRobot's metadata of a dataset and checks that it has the features that we read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.data.dataset._files import check_readable
from dit_policy_ros.data.lerobot_calls import preserve_root_logger, reading_dataset


def open_metadata(root: Path) -> Any:
    """LeRobot's metadata (LeRobotDatasetMetadata) of the dataset in a folder.

    Raises DatasetError if the folder is not a dataset, is damaged or empty, or lacks the state or the action.
    """
    check_readable(root)
    with preserve_root_logger():
        from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
    with reading_dataset(root):
        meta: Any = LeRobotDatasetMetadata(f"local/{root.name}", root=root)
    missing = [key for key in (STATE_KEY, ACTION_KEY) if key not in meta.features]
    if missing:
        raise DatasetError(
            f"dataset {root}: expected {STATE_KEY} and {ACTION_KEY}, missing: {', '.join(missing)}"
        )
    return meta


def camera_names(meta: Any) -> tuple[str, ...]:
    """The cameras of a dataset."""
    return tuple(key.removeprefix(IMAGE_PREFIX) for key in meta.video_keys)


def check_cameras(meta: Any, cameras: Sequence[str]) -> None:
    """Raises DatasetError if a dataset lacks one of these cameras."""
    present = camera_names(meta)
    absent = sorted(set(cameras) - set(present))
    if absent:
        raise DatasetError(
            f"dataset {meta.root}: no videos of camera {', '.join(absent)}; present: {', '.join(present)}"
        )


def task_names(meta: Any) -> tuple[str, ...]:
    """The instructions of a dataset, by task_index."""
    return tuple(str(task) for task in meta.tasks.sort_values("task_index").index)

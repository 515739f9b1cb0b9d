# SPDX-License-Identifier: Apache-2.0
"""Opens LeRobot's metadata of a dataset."""

from pathlib import Path
from typing import Any

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import TASK_KEY
from dit_policy_ros.core.problems import show
from dit_policy_ros.data.dataset._row_check import check_episodes
from dit_policy_ros.data.description import check_readable, hub_snapshot
from dit_policy_ros.data.lerobot_calls import preserve_root_logger, reading_dataset


def open_metadata(root: Path, videos_on_hub: bool = False) -> Any:
    """LeRobot's metadata (LeRobotDatasetMetadata) of the dataset in a folder.

    videos_on_hub: whether videos of a dataset that was downloaded from the hub may be missing here.

    Raises DatasetError if the folder is not a dataset, is damaged or empty.
    """
    check_readable(root)
    with preserve_root_logger():
        from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
    with reading_dataset(root):
        meta: Any = LeRobotDatasetMetadata(f"local/{root.name}", root=root)
        check_episodes(meta)
        _check_files(meta, with_videos=not (videos_on_hub and hub_snapshot(root)))
    return meta


def _check_files(meta: Any, with_videos: bool) -> None:
    """Raises DatasetError for the first file that is missing; LeRobot would ask the hub for it."""
    for episode in range(meta.total_episodes):
        keys = meta.video_keys if with_videos else ()
        videos = (meta.get_video_file_path(episode, key) for key in keys)
        for file in (meta.get_data_file_path(episode), *videos):
            if not (meta.root / file).is_file():
                raise DatasetError(
                    f"dataset {meta.root}: {file} of episode {episode} is missing. Is the copy complete? "
                    f"Files of datasets that came by git may need `git lfs pull`"
                )


def task_names(meta: Any) -> tuple[str, ...]:
    """The instructions of a dataset, by task_index. Raises DatasetError if there are none."""
    if meta.tasks is None or not len(meta.tasks):
        raise DatasetError(
            f"dataset {meta.root}: it has no instructions, and the policy reads one per frame. Set them with "
            f"lerobot-edit-dataset --operation.type modify_tasks"
        )
    by_number = dict(zip(meta.tasks["task_index"].tolist(), meta.tasks.index.tolist(), strict=True))
    texts = [by_number.get(number) for number in range(len(meta.tasks))]
    if not all(isinstance(text, str) for text in texts):
        raise DatasetError(
            f"dataset {meta.root}: meta/tasks.parquet: expected an instruction ({TASK_KEY}) for each "
            f"task_index from 0 to {len(texts) - 1}, each once; got {show(by_number)}"
        )
    return tuple(map(str, texts))

# SPDX-License-Identifier: Apache-2.0
"""Removes episodes by LeRobot's own function and keeps the recorder's side table aligned with the rest."""

import os
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.data.dataset import JOURNAL, RECORDS, check_readable, read_records, records_text
from dit_policy_ros.data.durable import make_folders
from dit_policy_ros.data.lock import DatasetLock
from dit_policy_ros.data.quiet import quiet, same_root_logger
from dit_policy_ros.data.recording._recovery import left_behind


def remove_episodes(root: Path, indices: Collection[int]) -> Path:
    """Removes episodes of a dataset; those after them move up. Returns where the dataset as it was is kept.

    The new dataset is complete before it takes the old one's place.

    Raises DatasetError: an index does not exist, no episode would be left, the dataset is being recorded, has
    episodes that are not added yet, or LeRobot failed.
    """
    root = root.absolute()
    total = int(check_readable(root)["total_episodes"])
    unknown = sorted(set(indices) - set(range(total)))
    if unknown or not indices:
        raise DatasetError(
            f"dataset {root}: expected episodes of 0 to {total - 1}, got {listing(map(str, unknown))}"
        )
    if len(set(indices)) == total:
        raise DatasetError(
            f"dataset {root}: all {total} episodes would be removed; remove the folder instead"
        )
    if left_behind(root):
        raise DatasetError(
            f"dataset {root}: there are episodes to be recovered first (dit_policy inspect --recover)"
        )
    edited, before = root.with_name(f"{root.name}.edited"), _free_name(root)
    if edited.exists():
        shutil.rmtree(edited)  # of an attempt that was interrupted
    make_folders(root / JOURNAL)
    lock = DatasetLock(root / JOURNAL / "lock", root)
    try:
        _copy_without(root, edited, sorted(set(indices)))
        os.rename(root, before)
        os.rename(edited, root)
    except OSError as error:
        raise DatasetError(f"dataset {root} could not be edited: {error}") from error
    finally:
        lock.release()
        for place in (root, before):
            if (place / JOURNAL).is_dir():
                shutil.rmtree(place / JOURNAL)
    return before


def _copy_without(root: Path, edited: Path, indices: list[int]) -> None:
    with same_root_logger():
        from lerobot.datasets import LeRobotDataset, delete_episodes
    records = read_records(root)
    try:
        with quiet():
            dataset: Any = LeRobotDataset(f"local/{root.name}", root=root, video_backend="pyav")
            left = [index for index in range(dataset.meta.total_episodes) if index not in indices]
            delete_episodes(dataset, indices, output_dir=edited, repo_id=f"local/{root.name}")
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise DatasetError(f"LeRobot could not remove episodes of {root}: {error!r}") from error
    if records:
        kept = [replace(records[old], episode_index=new) for new, old in enumerate(left) if old in records]
        (edited / RECORDS).write_text(records_text(kept))


def _free_name(root: Path) -> Path:
    """Where the dataset as it was goes."""
    number = 1
    while (place := root.with_name(f"{root.name}.before_{number}")).exists():
        number += 1
    return place

# SPDX-License-Identifier: Apache-2.0
"""Removes episodes with LeRobot's own function and updates the recorder's side table."""

import os
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from dit_policy_ros.core.atomic_files import exchange_folders, make_folders, sync_folder, sync_tree
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.data.dataset import (
    JOURNAL_FOLDER,
    SIDE_TABLE,
    check_readable,
    editable,
    episode_records,
    format_records,
)
from dit_policy_ros.data.lerobot_calls import preserve_root_logger, quiet_lerobot
from dit_policy_ros.data.lock import DatasetLock
from dit_policy_ros.data.recording._quarantine import keep_quarantine, tidy
from dit_policy_ros.data.recording._recovery import pending_episodes


def remove_episodes(root: Path, indices: Collection[int]) -> Path:
    """Removes episodes of a dataset; later episodes move up. Returns the folder of the original dataset.

    The new dataset is complete before it replaces the old one. The old one stays in a folder next to it.

    Raises:
        DatasetError: an index does not exist, no episode would remain, the dataset is being recorded or has
            episodes to recover, or LeRobot failed.
    """
    root = root.absolute()
    total = int(check_readable(root)["total_episodes"])
    unknown = sorted(set(indices) - set(range(total)))
    if unknown or not indices:
        raise DatasetError(
            f"dataset {root}: expected episodes from 0 to {total - 1}, got {listing(map(str, unknown))}"
        )
    if len(set(indices)) == total:
        raise DatasetError(
            f"dataset {root}: this would remove all {total} episodes; delete the folder instead"
        )
    if pending_episodes(root):
        raise DatasetError(
            f"dataset {root}: its journal contains episodes; recover them first "
            f"(dit_policy inspect --recover)"
        )
    edited, before = root.with_name(f"{root.name}.edited"), _free_name(root)
    if edited.exists():
        shutil.rmtree(edited)  # left by an interrupted call
    make_folders(root / JOURNAL_FOLDER)
    lock = DatasetLock(root / JOURNAL_FOLDER / "lock", root)
    try:
        _copy_without(root, edited, sorted(set(indices)))
        sync_tree(edited)
        os.rename(edited, before)
        if not exchange_folders(before, root):  # it keeps a whole dataset under this name at each instant
            os.rename(before, edited)
            os.rename(root, before)
            os.rename(edited, root)
            sync_folder(root.parent)
    except OSError as error:
        raise DatasetError(f"dataset {root} could not be edited: {error}") from error
    finally:
        lock.release()
        (before / JOURNAL_FOLDER / "lock").unlink(missing_ok=True)
        keep_quarantine(before, root)
        for place in (root, before):
            tidy(place)
    return before


def _copy_without(root: Path, edited: Path, indices: list[int]) -> None:
    with preserve_root_logger():
        from lerobot.datasets import LeRobotDataset, delete_episodes
    records = episode_records(root)
    plain = root.with_name(f"{root.name}.plain")
    try:
        with quiet_lerobot(), editable(root, plain) as place:
            dataset: Any = LeRobotDataset(f"local/{root.name}", root=place, video_backend="pyav")
            remaining = [index for index in range(dataset.meta.total_episodes) if index not in indices]
            delete_episodes(dataset, indices, output_dir=edited, repo_id=f"local/{root.name}")
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise DatasetError(f"LeRobot could not remove episodes of {root}: {error!r}") from error
    if records:
        kept = [
            replace(records[old], episode_index=new) for new, old in enumerate(remaining) if old in records
        ]
        (edited / SIDE_TABLE).write_text(format_records(kept))


def _free_name(root: Path) -> Path:
    """A free name for the original dataset."""
    number = 1
    while (place := root.with_name(f"{root.name}.before_{number}")).exists():
        number += 1
    return place

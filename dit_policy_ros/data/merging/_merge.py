# SPDX-License-Identifier: Apache-2.0
"""Makes one dataset of several."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import replace
from pathlib import Path

from dit_policy_ros.core.atomic_files import exchange_folders, make_folders, sync_folder, sync_tree
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import SIDE_TABLE, editable, episode_records, format_records
from dit_policy_ros.data.description import JOURNAL_FOLDER, check_readable
from dit_policy_ros.data.lerobot_calls import preserve_root_logger, quiet_lerobot
from dit_policy_ros.data.lock import DatasetLock


def merge_datasets(sources: Sequence[Path], target: Path) -> None:
    """Write a dataset with the episodes of all sources, in order. The sources stay as they are.

    Args:
        sources: datasets with the same features, rate and robot type.
        target: a folder, which is replaced if it exists. Complete, or not there.

    Raises:
        DatasetError: a source cannot be read, or LeRobot cannot merge them.
    """
    infos = [check_readable(source) for source in sources]
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    make_folders(target.parent)
    try:
        _aggregate(sources, partial)
        records, first = [], 0
        for source, info in zip(sources, infos, strict=True):
            found = episode_records(source)
            records += [replace(record, episode_index=first + index) for index, record in found.items()]
            first += int(info["total_episodes"])
        if records:
            (partial / SIDE_TABLE).write_text(format_records(records))
        _check_sums(partial, sources, infos)
        sync_tree(partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise DatasetError(f"dataset {target} could not be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def replace_dataset(root: Path, merged: Path) -> None:
    """Let ``merged`` take the place of the dataset in ``root``, which need not exist. Each instant has one.

    Raises:
        DatasetError: the dataset is being recorded, its journal holds episodes, or the disk fails.
    """
    try:
        if not root.exists():
            merged.rename(root)
            sync_folder(root.parent)
            return
        check_settled(root)
        make_folders(root / JOURNAL_FOLDER)
        lock = DatasetLock(root / JOURNAL_FOLDER / "lock", root)
        try:
            if not exchange_folders(merged, root):
                before = root.with_name(f"{root.name}.before_merge")
                root.rename(before)
                merged.rename(root)
                before.rename(merged)
                sync_folder(root.parent)
        finally:
            lock.release()
        shutil.rmtree(merged)
    except OSError as error:
        raise DatasetError(f"dataset {root} could not be replaced by the merged one: {error}") from error


def check_settled(root: Path) -> None:
    """Raises DatasetError if a dataset's journal holds episodes; a folder in its place would lose them."""
    journal = root / JOURNAL_FOLDER
    if journal.is_dir() and any(path.name != "lock" for path in journal.iterdir()):
        raise DatasetError(
            f"dataset {root}: its journal holds episodes; settle them first (dit_policy inspect {root} lists "
            f"them; --recover, --quarantine)"
        )


def _aggregate(sources: Sequence[Path], target: Path) -> None:
    with preserve_root_logger():
        from lerobot.datasets.aggregate import aggregate_datasets
    try:
        with quiet_lerobot(), _silent(), ExitStack() as stack:
            places = [
                stack.enter_context(editable(source, source.with_name(f"{source.name}.plain")))
                for source in sources
            ]
            names = [f"local/{number}" for number in range(len(places))]
            aggregate_datasets(names, f"local/{target.name}", roots=places, aggr_root=target)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise DatasetError(
            f"LeRobot could not merge {len(sources)} datasets into {target}: {error}"
        ) from error


@contextmanager
def _silent() -> Iterator[None]:
    """Inside, nothing is written to stderr: LeRobot shows progress bars, and lets FFmpeg say what it does."""
    sys.stderr.flush()
    before = os.dup(2)
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
            with redirect_stderr(nothing):
                yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _check_sums(merged: Path, sources: Sequence[Path], infos: Sequence[dict]) -> None:
    found = check_readable(merged)
    for name in ("total_episodes", "total_frames"):
        expected = sum(int(info[name]) for info in infos)
        if int(found[name]) != expected:
            raise DatasetError(
                f"merging {len(sources)} datasets: expected {name} {expected}, got {found[name]}; the "
                f"sources are unchanged"
            )

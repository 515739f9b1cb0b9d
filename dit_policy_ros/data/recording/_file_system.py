# SPDX-License-Identifier: Apache-2.0
"""Tries what saving and committing an episode will ask of the file system, before any episode is recorded."""

import errno
import os
import shutil
from pathlib import Path

from dit_policy_ros.core.atomic_files import make_folders, sync_folder, write_atomically
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.description import JOURNAL_FOLDER

_TRIAL = "trial"  # folder in the journal
_PARTS = ("data", "videos", "meta")  # where the files of an episode are moved to


def check_file_system(root: Path) -> None:
    """Try to write, append, flush and rename in a dataset's journal, and compare the disks of its folders.

    Raises DatasetError: the file system cannot do it, or a folder of the dataset is on another one, where the
    journal's files cannot be moved to in one step.
    """
    journal = root / JOURNAL_FOLDER
    trial = journal / _TRIAL
    try:
        shutil.rmtree(trial, ignore_errors=True)  # left by a killed process
        make_folders(trial)
        file = os.open(trial / "frames.bin", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        try:
            os.write(file, b"frame")
            os.fdatasync(file)
        finally:
            os.close(file)
        write_atomically(trial / "label.json", "{}", durable=True)
        (trial / "stage").mkdir()
        os.replace(trial / "label.json", trial / "stage" / "label.json")
        sync_folder(trial / "stage")
        os.replace(trial / "stage" / "label.json", trial / "frames.bin")  # as info.json on the former one
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return  # a full disk is another matter: what is saved already waits for space
        raise DatasetError(
            f"dataset {root}: its file system cannot hold a dataset that is being recorded: {error!r}. "
            "Record on a local disk (ext4, xfs, btrfs), and copy the dataset afterwards"
        ) from error
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    disk = journal.stat().st_dev
    for part in _PARTS:
        for folder in (root / part, *sorted((root / part).glob("*"))):
            if folder.is_dir() and folder.stat().st_dev != disk:
                raise DatasetError(
                    f"dataset {root}: {folder} is on another disk than {journal} (a link, or a mount), so "
                    "that no episode can be moved there in one step. Have the whole dataset on one disk"
                )

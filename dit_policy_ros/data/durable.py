# SPDX-License-Identifier: Apache-2.0
"""Writing so that it survives a loss of power: contents first, then names.

A file's content is safe after fsync of the file, its name after fsync of the folder it stands in.
"""

import contextlib
import os
import shutil
from pathlib import Path

_TRASH = "trash_"


def sync_file(path: Path) -> None:
    """Returns when a file's content is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Returns when the names in a folder are on the disk."""
    sync_file(path)


def write_durably(path: Path, content: bytes) -> None:
    """Creates or replaces a file as a whole: after a crash it is the old one or the new one."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)
    sync_folder(path.parent)


def make_folders(path: Path) -> None:
    """Creates a folder and those above it that do not exist, durably."""
    if path.is_dir():
        return
    make_folders(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def remove_durably(folder: Path) -> None:
    """Removes a folder as a whole: after a crash it is there, or its rest is taken for trash."""
    trash = folder.with_name(f"{_TRASH}{folder.name}")
    if trash.exists():
        shutil.rmtree(trash)
    os.replace(folder, trash)
    sync_folder(trash.parent)
    shutil.rmtree(trash)


def empty_trash(folder: Path) -> None:
    """Removes what `remove_durably` could not finish in a folder."""
    for path in folder.glob(f"{_TRASH}*"):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)

# SPDX-License-Identifier: Apache-2.0
"""Writes files and folders atomically: a reader, or a restart after a crash, never sees half of one.

Content is written under a temporary name in the same folder and then renamed, which the file system does in
one step. With `durable` it also survives a loss of power. A file's content is safe after fsync of the file,
its name after fsync of the folder that holds it.
"""

import contextlib
import ctypes
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

_TRASH = "trash_"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux
# What renameat2 answers where the kernel or the file system cannot exchange names.
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}


def write_atomically(
    path: Path, content: bytes | str | Callable[[Path], object], durable: bool = False
) -> None:
    """Creates or replaces a file. A link at `path` is replaced, not followed.

    Args:
        path: the file; its folder exists.
        content: bytes, text (UTF-8), or a function that creates the file under the path it is given.
        durable: return only when content and name are on the disk.

    Raises:
        OSError, or what `content` raises: `path` is unchanged and the temporary file is removed.
    """
    partial = _temporary(path, "unfinished")
    partial.unlink(missing_ok=True)  # left by a killed process that had our process id
    try:
        if isinstance(content, str):
            partial.write_text(content, encoding="utf-8")
        elif isinstance(content, bytes):
            partial.write_bytes(content)
        else:
            content(partial)
        if durable:
            sync_file(partial)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def write_folder_atomically(
    folder: Path, write: Callable[[Path], object], replace: bool = False, durable: bool = False
) -> None:
    """Creates a folder that gets its name only when `write` has filled it.

    Args:
        folder: to be created, with its parents.
        write: fills the empty folder whose path it is given.
        replace: replace an existing folder of that name, as `replace_folder` does. Without it, an existing
            folder that is not empty is an error.
        durable: force the content of all files to the disk before the folder gets its name, and then the
            name.

    Raises:
        OSError, or what `write` raises: `folder` is unchanged and the temporary folder is removed.
    """
    partial = _temporary(folder, "unfinished")
    shutil.rmtree(partial, ignore_errors=True)  # left by a killed process that had our process id
    try:
        make_folders(partial)
        write(partial)
        if durable:
            sync_tree(partial)
        if replace:
            replace_folder(partial, folder)
        else:
            partial.rename(folder)
            sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def replace_folder(new: Path, folder: Path) -> None:
    """Gives a finished folder the name of another one beside it, which need not exist and is removed.

    At each instant one of the two has the name: names are exchanged in one step. On the few file systems that
    cannot do that (NFS, for example) the old folder is moved aside first; a crash in that instant leaves it
    as `.NAME.old-PROCESS`.

    Raises OSError: `folder` is then as it was.
    """
    if not folder.exists():
        new.rename(folder)
        sync_folder(folder.parent)
        return
    old = new
    try:
        _exchange(new, folder)
    except OSError as error:
        if error.errno not in _NO_EXCHANGE:
            raise
        old = _temporary(folder, "old")
        folder.rename(old)
        try:
            new.rename(folder)
        except BaseException:
            old.rename(folder)
            raise
    sync_folder(folder.parent)
    if old.is_symlink():
        old.unlink()
    shutil.rmtree(old, ignore_errors=True)


def exchange_folders(one: Path, other: Path) -> bool:
    """Exchanges the names of two folders in one step; False where the file system cannot. Raises OSError."""
    try:
        _exchange(one, other)
    except OSError as error:
        if error.errno in _NO_EXCHANGE:
            return False
        raise
    sync_folder(one.parent)
    sync_folder(other.parent)
    return True


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


def sync_tree(folder: Path) -> None:
    """Returns when everything below a folder is on the disk: all contents, then all names."""
    below = sorted(folder.rglob("*"))
    for file in (path for path in below if path.is_file()):
        sync_file(file)
    for place in (folder, *(path for path in below if path.is_dir())):
        sync_folder(place)


def make_folders(path: Path) -> None:
    """Creates a folder and its missing parents, durably."""
    if path.is_dir():
        return
    make_folders(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def remove_durably(folder: Path) -> None:
    """Removes a folder as a whole: after a crash it is still there, or `empty_trash` removes the rest."""
    trash = folder.with_name(f"{_TRASH}{folder.name}")
    if trash.exists():
        shutil.rmtree(trash)
    os.replace(folder, trash)
    sync_folder(trash.parent)
    shutil.rmtree(trash)


def empty_trash(folder: Path) -> None:
    """Removes what an interrupted `remove_durably` left in a folder."""
    for path in folder.glob(f"{_TRASH}*"):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)


def _exchange(one: Path, other: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(one), None, str(other))


def _temporary(path: Path, purpose: str) -> Path:
    """A hidden name beside `path` that no other process uses."""
    return path.with_name(f".{path.name}.{purpose}-{os.getpid()}")

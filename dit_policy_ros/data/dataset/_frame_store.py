# SPDX-License-Identifier: Apache-2.0
"""Stores what training reads of images: in memory, or in files that are mapped into memory."""

import contextlib
import fcntl
import hashlib
import json
import logging
import math
import os
import re
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.description import nearest_existing
from dit_policy_ros.data.disk import free_disk
from dit_policy_ros.data.lock import open_locked
from dit_policy_ros.data.memory import available_memory

logger = logging.getLogger(__name__)

# Only names of our own: the folder may contain a user's arrays. The first form is of earlier versions.
_STORED = re.compile(r"([0-9a-f]{12}-)?[0-9a-f]{24}\.npy")
_LEFTOVER = re.compile(r"\.([0-9a-f]{12}-)?[0-9a-f]{24}\.npy\.unfinished-\d+")

Fill = Callable[[NDArray[Any]], None]


class FrameStore:
    """Arrays of images or of their features, each filled once.

    In a folder, an array is a ``.npy`` file that outlives the run: the next run, and other processes of this
    run, map the file instead of decoding again. Files are written atomically, in space that is allocated
    first. Files that no process uses are removed when newer data of the same dataset replace them, or when
    another array needs their space, the one that was used longest ago first.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Store images in ``folder``; None stores them in memory."""
        self.folder = None if folder is None else Path(folder).expanduser().resolve()

    def images(
        self, identity: object, shape: tuple[int, ...], fill: Fill, group: object = None
    ) -> NDArray[np.uint8]:
        """The array with this identity; calls ``fill`` if it is not stored yet.

        Args:
            identity: everything the images depend on, as JSON values; it is the key of the array.
            shape: (M, h, w, 3).
            fill: writes all images into an array of that shape.
            group: what arrays have in common that replace one another, as JSON values: the camera and the
                datasets, without their content. Arrays of other sizes (h, w) are of another group.

        Raises:
            DatasetError: there is not enough memory or disk space, or the folder cannot be written.
        """
        if self.folder is None:
            self._check_memory(shape)
            array = np.zeros(shape, np.uint8)
            fill(array)
            return array
        return self.array(identity, shape, fill, group)

    def array(
        self,
        identity: object,
        shape: tuple[int, ...],
        fill: Fill,
        group: object = None,
        dtype: DTypeLike = np.uint8,
    ) -> NDArray[Any]:
        """As ``images``, of any shape (M, ...) and type, in the folder.

        Raises:
            ValueError: the store has no folder.
        """
        if self.folder is None:
            raise ValueError("expected a frame store with a folder")
        name = _digest([identity, shape])[:24]
        family = _digest([identity if group is None else group, shape[1:]])[:12]
        path = self.folder / f"{family}-{name}.npy"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(f"frame store {self.folder}: cannot make the folder: {error}") from error
        try:
            while (stored := _mapped(path)) is None:  # another process may remove it again before we use it
                _write(path, shape, fill, dtype)
        except OSError as error:
            raise DatasetError(
                f"frame store {self.folder}: cannot write: {error}. Free some space, or give another folder"
            ) from error
        return stored

    def room(self) -> int:
        """Space for arrays in the folder [byte]: free, or taken by arrays that are used again or removed."""
        if self.folder is None:
            return available_memory()
        stored = [file for file in self.folder.glob("*.npy") if _STORED.fullmatch(file.name)]
        return free_disk(nearest_existing(self.folder)) + sum(_size(file) for file in stored)

    @staticmethod
    def _check_memory(shape: tuple[int, ...]) -> None:
        needed, free = int(np.prod(shape)), available_memory()
        if needed > free:
            raise DatasetError(
                f"the decoded images of a camera take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB of "
                f"memory are free; keep them in files (dit_policy train --frame-store FOLDER), or make them "
                f"smaller (image_resize_shape)"
            )


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _mapped(path: Path) -> NDArray[Any] | None:
    """The array in a file, which counts as used until the array is gone; None if there is no such file."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, file)
        fcntl.flock(file, fcntl.LOCK_SH)
        if not (path.exists() and os.path.samestat(os.fstat(file), path.stat())):
            return None  # removed between opening and locking
        with contextlib.suppress(OSError):  # another user's, or read-only
            os.utime(path)  # the time of the last use
        array = np.load(path, mmap_mode="r")
        stack.pop_all()
        weakref.finalize(array, os.close, file)
        return array


def _write(path: Path, shape: tuple[int, ...], fill: Fill, dtype: DTypeLike) -> None:
    """Writes an array, unless another process is doing it: then waits for that. Raises OSError."""

    def write(partial: Path) -> None:
        array = np.lib.format.open_memmap(partial, mode="w+", dtype=dtype, shape=shape)
        with partial.open("r+b") as file:
            # A memory map of a sparse file dies of SIGBUS when the disk becomes full meanwhile.
            os.posix_fallocate(file.fileno(), 0, partial.stat().st_size)
        fill(array)
        array.flush()

    lock_path = path.with_name(f".{path.name}.lock")
    lock = open_locked(lock_path, wait=True)
    assert lock is not None
    try:
        if not path.exists():
            for leftover in path.parent.glob(f".{path.name}.unfinished-*"):  # of a killed process
                leftover.unlink()
            _make_room(path, math.prod(shape) * np.dtype(dtype).itemsize)
            write_atomically(path, write)
    finally:
        lock_path.unlink(missing_ok=True)
        os.close(lock)


def _make_room(path: Path, needed: int) -> None:
    """Removes files that no process uses: leftovers, replaced ones, and others as long as space is short.

    Raises DatasetError if the space [byte] is not enough even then.
    """
    folder = path.parent
    for partial in folder.glob(".*.npy.unfinished-*"):
        if _LEFTOVER.fullmatch(partial.name):
            _remove_leftover(partial)
    stored = [file for file in folder.glob("*.npy") if _STORED.fullmatch(file.name) and file != path]
    family = path.name.partition("-")[0] + "-"
    for file in sorted(stored, key=_last_use):
        is_replaced = file.name.startswith(family)
        if (is_replaced or needed > free_disk(folder)) and _remove_unused(file):
            why = "newer data replace it" if is_replaced else "its space is needed, and nothing uses it"
            logger.warning("frame store: %s is removed: %s", file, why)
    free = free_disk(folder)
    if needed > free:
        raise DatasetError(
            f"frame store {folder}: {needed / 1e9:.1f} GB of images or their features, {free / 1e9:.1f} GB "
            "free. Free some space, give another folder, or make the images smaller (image_resize_shape)"
        )


def _remove_leftover(partial: Path) -> None:
    """Removes what a killed process left, unless another process is writing that array."""
    lock_path = partial.with_name(f"{partial.name.rpartition('.unfinished-')[0]}.lock")
    lock = open_locked(lock_path, wait=False)
    if lock is not None:
        partial.unlink(missing_ok=True)
        lock_path.unlink(missing_ok=True)
        os.close(lock)


def _remove_unused(path: Path) -> bool:
    """Removes a file that no process has mapped; returns whether it is gone."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # another user's
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(file)
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # another process has removed it
        return 0


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0

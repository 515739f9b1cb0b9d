# SPDX-License-Identifier: Apache-2.0
"""Stores decoded images for training: in memory, or in files that are mapped into memory."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.core.errors import DatasetError

Fill = Callable[[NDArray[np.uint8]], None]


class FrameStore:
    """Arrays of images, each filled once.

    In a folder, an array is a ``.npy`` file that outlives the run: the next run, and other processes of this
    run, map the file instead of decoding again. Files are written atomically.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Store images in ``folder``; None stores them in memory."""
        self.folder = None if folder is None else Path(folder).expanduser().resolve()

    def images(self, identity: object, shape: tuple[int, ...], fill: Fill) -> NDArray[np.uint8]:
        """The array with this identity; calls ``fill`` if it is not stored yet.

        Args:
            identity: everything the images depend on, as JSON values; it is the key of the array.
            shape: (M, h, w, 3).
            fill: writes all images into an array of that shape.

        Raises:
            DatasetError: there is not enough memory or disk space, or the folder cannot be written.
        """
        if self.folder is None:
            self._check_memory(shape)
            array = np.zeros(shape, np.uint8)
            fill(array)
            return array
        digest = hashlib.sha256(json.dumps([identity, shape], sort_keys=True).encode()).hexdigest()
        path = self.folder / f"{digest[:24]}.npy"
        if not path.is_file():
            self._write(path, shape, fill)
        return np.load(path, mmap_mode="r")

    def _write(self, path: Path, shape: tuple[int, ...], fill: Fill) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(f"frame store {path.parent}: cannot make the folder: {error}") from error
        try:
            needed, free = int(np.prod(shape)), _free_disk(path.parent)
            if needed > free:
                raise DatasetError(
                    f"frame store {path.parent}: {needed / 1e9:.1f} GB of images, {free / 1e9:.1f} GB free"
                )

            def write(partial: Path) -> None:
                array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
                fill(array)
                array.flush()

            write_atomically(path, write)
        except OSError as error:
            raise DatasetError(f"frame store {path.parent}: cannot write: {error}") from error

    @staticmethod
    def _check_memory(shape: tuple[int, ...]) -> None:
        needed, free = int(np.prod(shape)), _available_memory()
        if needed > free:
            raise DatasetError(
                f"the decoded images of a camera take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB of "
                f"memory are free; keep them in files (dit_policy train --frame-store FOLDER), or make them "
                f"smaller (image_resize_shape)"
            )


def _free_disk(folder: Path) -> int:
    """Free space for this user on the folder's disk [byte]."""
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


def _available_memory() -> int:
    """Memory that can be allocated without swapping, including the kernel's file cache [byte]."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))

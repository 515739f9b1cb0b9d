# SPDX-License-Identifier: Apache-2.0
"""Where decoded images are kept while training looks at them: in memory, or in files mapped into memory."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError

Fill = Callable[[NDArray[np.uint8]], None]


class FrameStore:
    """Arrays of images, each filled once.

    In a folder, an array is a ``.npy`` file that outlives the run: the next run, and other processes of the
    same run, map what is there instead of decoding again. A file has its name only when it is whole.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Keep images in ``folder``, or in memory where it is None."""
        self.folder = None if folder is None else Path(folder).expanduser().resolve()

    def images(self, identity: object, shape: tuple[int, ...], fill: Fill) -> NDArray[np.uint8]:
        """The array of ``identity``, filled by ``fill`` unless it is there.

        Args:
            identity: what the images depend on, as JSON; another identity is another array.
            shape: (M, h, w, 3).
            fill: writes all of an array of that shape.

        Raises:
            DatasetError: there is no room for it.
        """
        if self.folder is None:
            self._check_memory(shape)
            array = np.zeros(shape, np.uint8)
            fill(array)
            return array
        digest = hashlib.sha256(json.dumps([identity, shape], sort_keys=True).encode()).hexdigest()
        path = self.folder / f"{digest[:24]}.npy"
        if not path.is_file():
            self._make(path, shape, fill)
        return np.load(path, mmap_mode="r")

    def _make(self, path: Path, shape: tuple[int, ...], fill: Fill) -> None:
        partial = path.with_suffix(f".partial-{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(f"frame store {path.parent}: cannot make the folder: {error}") from error
        try:
            wanted, room = int(np.prod(shape)), _free_disk(path.parent)
            if wanted > room:
                raise DatasetError(
                    f"frame store {path.parent}: {wanted / 1e9:.1f} GB of images, {room / 1e9:.1f} GB free"
                )
            array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
            fill(array)
            array.flush()
            partial.replace(path)
        except OSError as error:
            raise DatasetError(f"frame store {path.parent}: cannot write: {error}") from error
        finally:
            partial.unlink(missing_ok=True)

    @staticmethod
    def _check_memory(shape: tuple[int, ...]) -> None:
        wanted = int(np.prod(shape))
        available = _available_memory()
        if wanted > available:
            raise DatasetError(
                f"the decoded images of a camera take {wanted / 1e9:.1f} GB, and {available / 1e9:.1f} GB of "
                f"memory are free; keep them in files (dit_policy train --frame-store FOLDER), or reduce "
                f"them (image_resize_shape)"
            )


def _free_disk(folder: Path) -> int:
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


def _available_memory() -> int:
    """Bytes that can be taken without swapping; the kernel's file cache, which it gives back, included."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))

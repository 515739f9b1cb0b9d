# SPDX-License-Identifier: Apache-2.0
"""Large tables in files instead of in memory, and how parts of them are put together.

The kernel keeps what is read often in memory, and takes it back when memory is short.

Shapes: M rows of a table.
"""

import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.disk import free_disk
from dit_policy_ros.data.video import Allocate

_PART = 1 << 20  # rows that are in memory at once


class ScratchArrays:
    """Makes arrays in files without a name: they vanish with the last process that has them."""

    def __init__(self, folder: Path) -> None:
        """``folder``, or the nearest folder above it that exists, is where the files are."""
        self._folder = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())

    def __call__(self, shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
        """An array of zeros. Raises DatasetError if the disk has no room."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if not size or np.dtype(dtype).hasobject:
            return np.zeros(shape, dtype)
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                os.posix_fallocate(
                    file.fileno(), 0, size
                )  # now: a disk that fills up later kills the process
                return np.asarray(np.memmap(file, dtype, "r+", shape=shape))
        except OSError as error:
            raise DatasetError(
                f"{self._folder}: a table of the dataset needs {size / 1e9:.1f} GB there, and the disk has "
                f"{free_disk(self._folder) / 1e9:.1f} GB free ({error.strerror}). Free some, or choose "
                f"another --output"
            ) from error


def stacked(parts: Sequence[NDArray], allocate: Allocate, shifts: Sequence[int] | None = None) -> NDArray:
    """Tables (M, ...) below one another, ``shifts`` added to each; a single one that stays is not copied."""
    if len(parts) == 1 and not (shifts is not None and shifts[0]):
        return parts[0]
    total, begin = sum(len(part) for part in parts), 0
    result = allocate((total, *parts[0].shape[1:]), parts[0].dtype)
    for number, part in enumerate(parts):
        for first in range(0, len(part), _PART):
            rows = part[first : first + _PART]
            shift = 0 if shifts is None else shifts[number]
            result[begin : begin + len(rows)] = rows + shift if shift else rows
            begin += len(rows)
    return result


def side_by_side(parts: Sequence[NDArray], allocate: Allocate) -> NDArray:
    """Vectors (M, D) each, as (M, all D)."""
    if len(parts) == 1:
        return parts[0]
    widths = [part.shape[1] for part in parts]
    result = allocate((len(parts[0]), sum(widths)), parts[0].dtype)
    for part, end, width in zip(parts, np.cumsum(widths), widths, strict=True):
        for first in range(0, len(part), _PART):
            result[first : first + _PART, end - width : end] = part[first : first + _PART]
    return result


def renumbered(
    values: NDArray[np.int64], numbers: Sequence[int], allocate: Allocate, source: str
) -> NDArray[np.int64]:
    """``numbers[value]`` for each task_index (M,); the same array if nothing changes.

    Raises DatasetError with the ``source`` if there is no such task.
    """
    table = np.array(numbers, np.int64)
    if len(values) and not 0 <= values.min() <= values.max() < len(table):
        raise DatasetError(
            f"{source}: task_index: expected 0 to {len(table) - 1}, because meta/tasks.parquet has "
            f"{len(table)} tasks, got {values.min()} to {values.max()}"
        )
    if (table == np.arange(len(table))).all():
        return values
    result = allocate(values.shape, table.dtype)
    for first in range(0, len(values), _PART):
        result[first : first + _PART] = table[values[first : first + _PART]]
    return result

# SPDX-License-Identifier: Apache-2.0
"""The rows of a LeRobotDataset's tables, in the order of their index."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

type Allocate = Callable[[tuple[int, ...], np.dtype], NDArray]


def data_files(meta: Any) -> list[Path]:
    """The tables of the dataset's episodes, without files that an interrupted program left beside them."""
    return sorted({meta.root / meta.get_data_file_path(episode) for episode in range(meta.total_episodes)})


def read_columns(meta: Any, names: Sequence[str], allocate: Allocate = np.empty) -> dict[str, NDArray]:
    """Columns of all rows, (M, ...) each, in the order of the rows' index; `index` is among them.

    One file is in memory at a time.

    Args:
        meta: LeRobot's metadata of the dataset.
        names: of the columns.
        allocate: makes the arrays, from shape and data type.

    Raises:
        ValueError: the rows of a column have different lengths.
    """
    import pyarrow
    import pyarrow.parquet as parquet

    wanted, files = list(dict.fromkeys([*names, "index"])), data_files(meta)
    total, begin = sum(parquet.read_metadata(path).num_rows for path in files), 0
    columns = dict[str, NDArray]()
    for path in files:
        table = parquet.read_table(path, columns=wanted)
        for name in wanted:
            part = _to_numpy(table[name])
            if name not in columns:
                columns[name] = allocate((total, *part.shape[1:]), part.dtype)
            elif np.result_type(columns[name], part) != columns[name].dtype:  # another program's file
                columns[name] = columns[name].astype(np.result_type(columns[name], part))
            columns[name][begin : begin + len(part)] = part
        begin += len(table)
        del table
    pyarrow.default_memory_pool().release_unused()
    index = columns["index"]
    if (index[1:] > index[:-1]).all():  # the usual case, without a copy of everything
        return columns
    order = np.argsort(index, kind="stable")
    return {name: values[order] for name, values in columns.items()}


def _to_numpy(column: Any) -> NDArray:
    """A column of a table, (M,) or (M, D), without Python objects for each number."""
    import pyarrow

    cells = column.combine_chunks()
    if isinstance(cells, pyarrow.ChunkedArray):  # older pyarrow, or no rows
        cells = pyarrow.concat_arrays(cells.chunks) if cells.num_chunks else pyarrow.array([], column.type)
    is_list = pyarrow.types.is_list(cells.type) or pyarrow.types.is_fixed_size_list(cells.type)
    if is_list and len(cells) and not cells.null_count and not pyarrow.types.is_nested(cells.type.value_type):
        values = cells.flatten()
        if len(values) % len(cells) == 0:
            return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(len(cells), -1)
    if pyarrow.types.is_integer(cells.type) or pyarrow.types.is_floating(cells.type):
        return np.asarray(cells.to_numpy(zero_copy_only=False))
    return np.array(cells.to_pylist())


def row_numbers(meta: Any) -> dict[int, int]:
    """The row of each index, counted from 0."""
    return {int(index): row for row, index in enumerate(read_columns(meta, [])["index"])}

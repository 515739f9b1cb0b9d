# SPDX-License-Identifier: Apache-2.0
"""Images that a LeRobotDataset v3 stores one by one in its tables (features of the dtype `image`)."""

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.video._rows import data_files, row_numbers

_MORE_THAN_8_BITS = ("I", "F")  # PIL's modes; it would make all but the smallest values white
_ROWS = 256  # of a table that are in memory at once


def stored_images(meta: Any, key: str) -> Iterator[tuple[int, Callable[[], NDArray[np.uint8]]]]:
    """Each row of the dataset with a function that decodes its image, (H, W, 3) RGB.

    Args:
        meta: LeRobot's metadata of the dataset.
        key: of the camera.
    """
    import pyarrow.parquet as parquet

    rows = row_numbers(meta)
    for path in data_files(meta):
        for batch in parquet.ParquetFile(path).iter_batches(_ROWS, columns=[key, "index"]):
            cells, indices = batch.column(key).to_pylist(), batch.column("index").to_pylist()
            for cell, index in zip(cells, indices, strict=True):
                yield rows[index], _Decoder(meta.root, key, rows[index], cell)


class _Decoder:
    """Decodes one cell of a table: the bytes of a PNG or JPEG, or the path of one."""

    def __init__(self, root: Path, key: str, row: int, cell: Any) -> None:
        self._root, self._key, self._row, self._cell = root, key, row, cell

    def __call__(self) -> NDArray[np.uint8]:
        return decode_cell(self._root, self._key, self._row, self._cell)


def decode_cell(root: Path, key: str, row: int, cell: Any) -> NDArray[np.uint8]:
    """The image (H, W, 3) RGB of a row, from its cell. Raises DatasetError if it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    cell = cell or {}
    try:
        content = cell.get("bytes") or (root / cell["path"]).read_bytes()
        with Image.open(BytesIO(content)) as image:
            if image.mode.startswith(_MORE_THAN_8_BITS):
                raise DatasetError(
                    f"dataset {root}: {key}, row {row}: it has more than 8 bits (format {image.mode}), "
                    f"as of a depth camera; a policy reads RGB. Choose others with --cameras"
                )
            return np.asarray(image.convert("RGB"), dtype=np.uint8)
    except (OSError, KeyError, TypeError, AttributeError, UnidentifiedImageError) as error:
        raise DatasetError(
            f"dataset {root}: {key}, row {row}: the image cannot be read: {error!r}"
        ) from error

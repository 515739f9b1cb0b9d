# SPDX-License-Identifier: Apache-2.0
"""Depth images, stored without loss as LeRobot stores them: one TIFF per frame, in a cell of the table.

Whole millimetres are uint16, metres float32; both are (h, w, 1). While an episode is recorded, its TIFF files
follow one another in one file, each with its length and checksum.
"""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError

_HEAD = struct.Struct("<II")  # length and CRC-32 of the TIFF file that follows

type DepthImage = NDArray[Any]  # (h, w, 1), uint16 [mm] or float32 [m]


def depth_picture(image: NDArray[Any], unit: str) -> NDArray[np.uint8]:
    """A grey picture (h, w, 3) of a depth image (h, w, 1): the nearer the brighter, black without a distance.

    Brightness is the logarithm of the distance, from 0.1 m to 10 m.
    """
    metres = image[..., 0].astype(np.float32) * (0.001 if unit == "mm" else 1.0)  # (h, w)
    valid = np.isfinite(metres) & (metres > 0.0)
    decades = np.log10(np.clip(np.where(valid, metres, 1.0), 0.1, 10.0))  # -1 to 1
    grey = np.where(valid, np.rint(20.0 + 235.0 * (1.0 - decades) / 2.0), 0.0).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


class DepthTrack:
    """Appends the images of a depth camera to a file; see VideoTrack."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, image: DepthImage) -> DepthImage:
        """Writes an image (h, w, 1); returns it."""
        content = to_tiff(image)
        self._file.write(_HEAD.pack(len(content), zlib.crc32(content)) + content)
        self._file.flush()  # to the operating system, which outlives this process
        return image

    def flush(self) -> None:
        """See VideoTrack. Nothing to do: `add` writes each image at once."""


def to_tiff(image: DepthImage) -> bytes:
    """The TIFF file that LeRobot writes of a depth image (h, w, 1)."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(image[..., 0])).save(file, "TIFF", compression="raw")
    return file.getvalue()


def read_tiffs(path: Path, count: int) -> Iterator[bytes]:
    """The first `count` TIFF files of a file of DepthTrack. Raises DatasetError if there are fewer."""
    number = 0
    with path.open("rb") as file:
        while number < count:
            head = file.read(_HEAD.size)
            length, checksum = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0)
            content = file.read(length)
            if not length or len(content) < length or zlib.crc32(content) != checksum:
                raise DatasetError(f"{path}: expected {count} images, got {number} whole ones")
            yield content
            number += 1


def count_tiffs(path: Path) -> int:
    """Number of whole images in a file of DepthTrack; 0 if there is no file."""
    number = 0
    if not path.exists():
        return 0
    try:
        for _ in read_tiffs(path, 1 << 62):
            number += 1
    except DatasetError:
        pass  # the end
    return number


def decode_tiff(content: bytes) -> DepthImage:
    """The image (h, w, 1) of a TIFF file. Raises OSError if it cannot be decoded."""
    from PIL import Image

    with Image.open(BytesIO(content)) as image:
        values = np.asarray(image)
    return values.astype(np.float32 if values.dtype.kind == "f" else np.uint16)[..., None]

# SPDX-License-Identifier: Apache-2.0
"""Reads depth images without changing a value. Unusable messages raise StreamError with the reason.

The encodings are those of REP 118: 16UC1 holds millimetres, 32FC1 metres. Some drivers call the first mono16.
"""

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.ros.images._rows import packed_rows

_ENCODINGS = {"16uc1": "mm", "mono16": "mm", "32fc1": "m"}
_PIXEL_TYPE = {"mm": "u2", "m": "f4"}
_PNG, _TIFF = b"\x89PNG\r\n\x1a\n", (b"II*\0", b"MM\0*")
_CONFIG = 12  # bytes before the PNG in a message of compressed_depth_image_transport


def image_to_depth(msg: Image | CompressedImage, camera: Camera) -> np.ndarray:
    """The distances (h, w, 1), uint16 [mm] or float32 [m] as the contract says, in the machine's byte order.

    Raises StreamError if the size or the unit is another, or data is missing.
    """
    if isinstance(msg, CompressedImage):
        return _decompressed(msg, camera)
    rows = _check_raw(msg, camera)
    order = ">" if msg.is_bigendian else "<"
    values = np.ascontiguousarray(rows).view(order + _PIXEL_TYPE[camera.depth_unit])  # (h, w)
    return values.astype(camera.image_type)[..., None]


def check_depth(msg: Image | CompressedImage, camera: Camera) -> None:
    """Raises StreamError for an image that cannot be used, as far as that is seen without decoding it."""
    if isinstance(msg, CompressedImage):
        _file(msg, camera)
    else:
        _check_raw(msg, camera)


def _check_raw(msg: Image, camera: Camera) -> np.ndarray:
    """The bytes of each row (h, row_bytes) of an image that fits the contract."""
    _require_size(msg.width, msg.height, camera)
    unit = _ENCODINGS.get(msg.encoding.lower())
    if unit is None:
        raise StreamError(
            f"image encoding '{msg.encoding}' is no depth image: expected 16UC1 [mm] or 32FC1 [m]. Remove "
            f"cameras.{camera.name}.kind, or take the camera's depth topic"
        )
    _require_unit(unit, msg.encoding, camera)
    return packed_rows(msg, msg.width * np.dtype(camera.image_type).itemsize, msg.height)


def _require_size(width: int, height: int, camera: Camera) -> None:
    if (width, height) != (camera.width, camera.height):
        raise StreamError(
            f"depth image is {width}x{height}, expected {camera.width}x{camera.height} (width x height): "
            f"distances are not resized. Set cameras.{camera.name}.height and width to what the camera "
            "publishes"
        )


def _require_unit(unit: str, encoding: str, camera: Camera) -> None:
    if unit != camera.depth_unit:
        raise StreamError(
            f"depth image of encoding '{encoding}' holds {unit}; the contract says "
            f"cameras.{camera.name}.depth_unit: {camera.depth_unit}. Set it to {unit}"
        )


def _file(msg: CompressedImage, camera: Camera) -> bytes:
    """The PNG or TIFF file in a message."""
    data = bytes(msg.data)
    if not data:
        raise StreamError(f"compressed image of format {msg.format!r} is empty: it has 0 bytes")
    transport = "compressedDepth" in msg.format
    if transport and msg.format.lower().startswith("32fc1"):
        raise StreamError(
            f"depth image of format {msg.format!r} has lost precision: compressedDepth rounds metres. Record "
            "the raw topic, or let the camera publish 16UC1"
        )
    if data[_CONFIG:].startswith(_PNG) and not data.startswith(_PNG):
        data = data[_CONFIG:]
    if not data.startswith((_PNG, *_TIFF)):
        raise StreamError(
            f"compressed image of format {msg.format!r} with {len(data)} bytes is no depth image: expected a "
            "PNG or TIFF of 16 or 32 bits per pixel; other formats lose precision or are not known here. Set "
            f"the transport's format to png, or record the raw topic (cameras.{camera.name}.compressed)"
        )
    return data


def _decompressed(msg: CompressedImage, camera: Camera) -> np.ndarray:
    data = np.frombuffer(_file(msg, camera), dtype=np.uint8)  # (bytes,)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:  # a header with an impossible size
        image = None
    if image is None:
        raise StreamError(
            f"compressed image of format {msg.format!r} with {len(data)} bytes cannot be decoded: it is cut "
            "or damaged"
        )
    _require_size(image.shape[1], image.shape[0], camera)
    unit = (
        {np.dtype(np.uint16): "mm", np.dtype(np.float32): "m"}.get(image.dtype) if image.ndim == 2 else None
    )
    if unit is None:
        raise StreamError(
            f"compressed image of format {msg.format!r} is a picture of {image.dtype}, no depth image. "
            f"Remove cameras.{camera.name}.kind, or take the camera's depth topic"
        )
    _require_unit(unit, msg.format, camera)
    return np.ascontiguousarray(image)[..., None]  # (h, w, 1)

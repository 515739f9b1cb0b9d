# SPDX-License-Identifier: Apache-2.0
"""Converts image messages to RGB arrays. Unusable messages raise StreamError with the reason."""

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.ros.images._cv_bridge import cv_bridge_rgb
from dit_policy_ros.ros.images._encodings import Encoding, find_encoding
from dit_policy_ros.ros.images._rows import packed_rows

_ASPECT_TOLERANCE = 0.01  # relative
_PNG = b"\x89PNG\r\n\x1a\n"
_BIT_DEPTH = 24  # place of this byte in a PNG
_TIFF = (b"II*\0", b"MM\0*")


def image_to_rgb(msg: Image | CompressedImage, height: int, width: int) -> np.ndarray:
    """Converts an image of any encoding to contiguous uint8 RGB (height, width, 3), resized if needed.

    An rgb8 image of the right size is not copied: the array shares the message's memory, so do not write to
    it. Raises StreamError if the aspect ratio differs, the encoding cannot be converted, or data is missing.
    """
    if isinstance(msg, CompressedImage):
        image = _decompressed(msg)  # (h, w, 3) RGB
        _require_aspect(image.shape[1], image.shape[0], width, height)
    else:
        encoding = _check_raw(msg, height, width)
        rows = _rows(msg, encoding)
        try:
            image = (  # (h, w, 3) RGB
                cv_bridge_rgb(msg, rows)
                if encoding.by_cv_bridge
                else encoding.to_rgb(rows, msg.width, bool(msg.is_bigendian))
            )
        except cv2.error as error:
            raise StreamError(
                f"image of {msg.width}x{msg.height} '{msg.encoding}' cannot be converted to RGB: {error}"
            ) from error
    if image.shape[:2] != (height, width):
        shrinking = image.shape[0] > height
        image = cv2.resize(
            image, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        )
    return np.ascontiguousarray(image)  # (height, width, 3)


def check_image(msg: Image | CompressedImage, height: int, width: int) -> None:
    """Raises StreamError for an image that cannot be used, as far as that is seen without decoding it."""
    if isinstance(msg, CompressedImage):
        _check_compressed(msg)
    else:
        _rows(msg, _check_raw(msg, height, width))


def _require_aspect(given_width: int, given_height: int, width: int, height: int) -> None:
    if given_height < 1 or given_width < 1:
        raise StreamError(f"image is empty: {given_width}x{given_height} (width x height)")
    if not abs(given_width * height - given_height * width) <= _ASPECT_TOLERANCE * given_height * width:
        raise StreamError(
            f"image is {given_width}x{given_height}, expected {width}x{height} (width x height) or another "
            "size of that aspect ratio. Set height and width in the contract to what the camera publishes."
        )


def _check_compressed(msg: CompressedImage) -> None:
    head = bytes(msg.data[:64])
    if not head:
        raise StreamError(f"compressed image of format {msg.format!r} is empty: it has 0 bytes")
    has_16_bits = head.startswith(_PNG) and head[_BIT_DEPTH : _BIT_DEPTH + 1] == b"\x10"
    if has_16_bits or head.startswith(_TIFF) or "compressedDepth" in msg.format:
        raise StreamError(
            f"compressed image of format {msg.format!r} has 16 bits per value: it is a depth image, which is "
            "no picture. Take the camera's colour topic, or say 'kind: depth' for this camera"
        )


def _decompressed(msg: CompressedImage) -> np.ndarray:
    """Decodes an image of image_transport's "compressed" plugin (8 bit JPEG or PNG) to RGB (h, w, 3)."""
    _check_compressed(msg)
    data = np.frombuffer(msg.data, dtype=np.uint8)  # (bytes,)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # a header with an impossible size
        image = None
    if image is None:
        raise StreamError(
            f"compressed image of format {msg.format!r} with {len(data)} bytes cannot be decoded: expected "
            "8 bit JPEG or PNG, as image_transport publishes it on <camera>/image_raw/compressed"
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # (h, w, 3)


def _check_raw(msg: Image, height: int, width: int) -> Encoding:
    """The encoding of an image whose size fits. Raises StreamError."""
    _require_aspect(msg.width, msg.height, width, height)
    encoding = find_encoding(msg.encoding)
    if problem := encoding.size_problem(msg.width, msg.height):
        raise StreamError(f"image of {msg.width}x{msg.height} '{msg.encoding}': {problem}")
    return encoding


def _rows(msg: Image, encoding: Encoding) -> np.ndarray:
    """The image's bytes without row padding, (rows, row_bytes). A view of the message if there is none."""
    return packed_rows(msg, encoding.row_bytes(msg.width), encoding.rows(msg.height))

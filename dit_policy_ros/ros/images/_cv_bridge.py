# SPDX-License-Identifier: Apache-2.0
"""Encodings that only cv_bridge knows: a driver's new one works as soon as the installed cv_bridge has it."""

from functools import cache
from typing import Any

import numpy as np
from sensor_msgs.msg import Image

from dit_policy_ros.core.errors import StreamError


def cv_bridge_pixel_bytes(encoding: str) -> int:
    """Bytes of a pixel of this encoding; 0 if cv_bridge is not here, or does not know it."""
    bridge = _bridge()
    try:
        dtype, channels = bridge.encoding_to_dtype_with_channels(encoding) if bridge else (np.uint8, 0)
    except (KeyError, TypeError, ValueError, RuntimeError):
        return 0
    return channels * np.dtype(dtype).itemsize


def cv_bridge_rgb(msg: Image, rows: np.ndarray) -> np.ndarray:
    """RGB (h, w, 3) uint8 of an image with packed rows (h, row_bytes). Raises StreamError."""
    packed = Image(
        height=msg.height,
        width=msg.width,
        encoding=msg.encoding,
        is_bigendian=msg.is_bigendian,
        step=rows.shape[1],
    )
    packed.data = rows.tobytes()
    try:
        return np.asarray(_bridge().imgmsg_to_cv2(packed, "rgb8"), dtype=np.uint8)
    except Exception as error:
        raise StreamError(
            f"image encoding '{msg.encoding}' cannot be converted to RGB by cv_bridge: {error!r}. Publish "
            "rgb8 or another colour encoding"
        ) from error


@cache
def _bridge() -> Any:
    """cv_bridge; None if it cannot be loaded: Debian's is built against numpy 1 and fails with numpy 2."""
    try:
        from cv_bridge import CvBridge
        from cv_bridge.boost import cv_bridge_boost  # noqa: F401  the compiled half; so that it fails here
    except (ImportError, AttributeError):
        return None
    return CvBridge()

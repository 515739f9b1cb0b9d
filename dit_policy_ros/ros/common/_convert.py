# SPDX-License-Identifier: Apache-2.0
"""Converts ROS messages to numpy arrays and back. Unusable messages raise StreamError with the reason."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64MultiArray

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.problems import did_you_mean, listing

_ASPECT_TOLERANCE = 0.01  # relative
_DIRECT = ("rgb8", "bgr8")  # encodings that we convert without cv_bridge
# Raised by the binary and by the pure Python cv_bridge.
_CV_BRIDGE_ERRORS = (RuntimeError, TypeError, ValueError, KeyError, cv2.error)


def stamp_ns(stamp: Time) -> int:
    """A message stamp as nanoseconds."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def to_stamp(ns: int) -> Time:
    """Nanoseconds as a message stamp."""
    seconds, nanoseconds = divmod(ns, NANOSECONDS)
    return Time(sec=seconds, nanosec=nanoseconds)


def image_to_rgb(msg: Image | CompressedImage, height: int, width: int) -> np.ndarray:
    """Converts an image of any encoding to contiguous uint8 RGB (height, width, 3), resized if needed.

    An rgb8 image of the right size is not copied: the array shares the message's memory, so do not write to
    it. Raises StreamError if the aspect ratio differs, the encoding cannot be converted, or data is missing.
    """
    if isinstance(msg, CompressedImage):
        image = _decompressed(msg)  # (h, w, 3) RGB
        _require_aspect(image.shape[1], image.shape[0], width, height)
    else:
        _require_aspect(msg.width, msg.height, width, height)
        image = _direct(msg) if msg.encoding in _DIRECT else _through_cv_bridge(msg)  # (h, w, 3) RGB
    if image.shape[:2] != (height, width):
        shrinking = image.shape[0] > height
        image = cv2.resize(
            image, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        )
    return np.ascontiguousarray(image)  # (height, width, 3)


def _require_aspect(given_width: int, given_height: int, width: int, height: int) -> None:
    if given_height < 1 or given_width < 1:
        raise StreamError(f"image is empty: {given_width}x{given_height} (width x height)")
    if not abs(given_width * height - given_height * width) <= _ASPECT_TOLERANCE * given_height * width:
        raise StreamError(
            f"image is {given_width}x{given_height}, expected {width}x{height} (width x height) or another "
            "size of that aspect ratio. Set height and width in the contract to what the camera publishes."
        )


def _decompressed(msg: CompressedImage) -> np.ndarray:
    """Decodes an image of image_transport's "compressed" plugin (8 bit JPEG or PNG) to RGB (h, w, 3)."""
    data = np.frombuffer(msg.data, dtype=np.uint8)  # (bytes,)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(data, flags) if len(data) else None
    if image is None:
        raise StreamError(
            f"compressed image of format {msg.format!r} with {len(data)} bytes cannot be decoded: expected "
            "8 bit JPEG or PNG, as image_transport publishes it on <camera>/image_raw/compressed"
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # (h, w, 3)


def _direct(msg: Image) -> np.ndarray:
    pixels = _rows(msg, 3 * msg.width).reshape(msg.height, msg.width, 3)  # (h, w, 3)
    return pixels if msg.encoding == "rgb8" else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _rows(msg: Image, row_bytes: int) -> np.ndarray:
    """The image's bytes without row padding, (h, row_bytes). A view of the message if there is none."""
    step = msg.step or row_bytes
    if step < row_bytes or len(msg.data) < step * msg.height:
        raise StreamError(
            f"image of {msg.width}x{msg.height} '{msg.encoding}' with step {msg.step} carries "
            f"{len(msg.data)} bytes; {max(step, row_bytes) * msg.height} are needed"
        )
    rows = np.frombuffer(msg.data, dtype=np.uint8, count=step * msg.height).reshape(msg.height, step)
    return rows if step == row_bytes else np.ascontiguousarray(rows[:, :row_bytes])


def _through_cv_bridge(msg: Image) -> np.ndarray:
    bridge = _bridge()
    try:
        dtype, channels = bridge.encoding_to_dtype_with_channels(msg.encoding)
        rows = _rows(msg, msg.width * channels * np.dtype(dtype).itemsize)
        packed = Image(
            height=msg.height,
            width=msg.width,
            encoding=msg.encoding,
            is_bigendian=msg.is_bigendian,
            step=rows.shape[1],
        )
        packed.data = rows.tobytes()
        return np.asarray(bridge.imgmsg_to_cv2(packed, "rgb8"), dtype=np.uint8)
    except _CV_BRIDGE_ERRORS as error:
        raise StreamError(
            f"image encoding '{msg.encoding}' cannot be converted to rgb8: {error}. Publish rgb8 or bgr8."
        ) from error


@cache
def _bridge() -> Any:
    try:
        from cv_bridge import CvBridge
        from cv_bridge.boost import cv_bridge_boost  # noqa: F401  the compiled half; imported so that it fails here
    except (ImportError, AttributeError) as error:
        raise StreamError(
            f"cv_bridge cannot be loaded: {error}. Debian's binary cv_bridge is built against numpy 1 and "
            f"fails with numpy {np.__version__}. Install the pure Python version (pip install cv-bridge), or "
            "publish rgb8 or bgr8, which need no cv_bridge."
        ) from error
    return CvBridge()


class JointStateConverter:
    """Extracts the contract's joints from JointState messages by name, whatever their order."""

    def __init__(self, joints: Sequence[str]) -> None:
        self._joints = tuple(joints)
        self._names: tuple[str, ...] | None = None  # in the last message
        self._indices = np.empty(0, dtype=np.intp)  # (D,)

    def __call__(self, msg: JointState) -> np.ndarray:
        """Positions in the contract's order, (D,) float64 [rad or m].

        Raises StreamError if a joint is missing or repeated, lengths differ, or a position is not finite.
        """
        names = tuple(msg.name)
        if len(msg.position) != len(names):
            raise StreamError(f"JointState has {len(names)} names but {len(msg.position)} positions")
        if names != self._names:
            self._indices = self._find(names)
            self._names = names
        positions = np.asarray(msg.position, dtype=np.float64)[self._indices]  # (D,)
        if not np.isfinite(positions).all():
            bad = [f"{name} = {value}" for name, value in zip(self._joints, positions, strict=True)]
            bad = [entry for entry, good in zip(bad, np.isfinite(positions), strict=True) if not good]
            raise StreamError(f"JointState has positions that are not finite: {listing(bad)}")
        return positions

    def _find(self, names: tuple[str, ...]) -> np.ndarray:
        missing = [joint for joint in self._joints if joint not in names]
        if missing:
            hint = did_you_mean(missing[0], sorted(set(names) - set(self._joints)))
            raise StreamError(
                f"JointState lacks {listing(missing)}; it has: {listing(names)}.{hint} "
                "Set 'joints' in the contract to the names that the robot publishes."
            )
        repeated = [joint for joint in self._joints if names.count(joint) > 1]
        if repeated:
            raise StreamError(f"JointState names {listing(repeated)} more than once")
        return np.array([names.index(joint) for joint in self._joints], dtype=np.intp)  # (D,)


def array_values(msg: Float64MultiArray, positions: Sequence[int]) -> np.ndarray:
    """The array's values at the indices `positions`, (D,).

    Raises StreamError if the array is too short or a value is not finite.
    """
    values = np.asarray(msg.data, dtype=np.float64)  # (M,)
    if len(values) <= max(positions):
        raise StreamError(
            f"Float64MultiArray has {len(values)} values, at least {max(positions) + 1} are needed. "
            "Set 'action.mapping' to the index of each joint's value (left_gripper = 6)."
        )
    chosen = values[list(positions)]  # (D,)
    if not np.isfinite(chosen).all():
        raise StreamError("Float64MultiArray has values that are not finite")
    return chosen

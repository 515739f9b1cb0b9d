# SPDX-License-Identifier: Apache-2.0
"""From ROS messages to arrays and back; what cannot be used raises StreamError with the reason."""

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
_DIRECT = ("rgb8", "bgr8")  # encodings that need no cv_bridge


def stamp_ns(stamp: Time) -> int:
    """A message's stamp in nanoseconds."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def to_stamp(ns: int) -> Time:
    """Nanoseconds as a message's stamp."""
    seconds, nanoseconds = divmod(ns, NANOSECONDS)
    return Time(sec=seconds, nanosec=nanoseconds)


def image_to_rgb(msg: Image | CompressedImage, height: int, width: int) -> np.ndarray:
    """An image of any encoding as uint8 (height, width, 3) RGB, contiguous, resized where needed.

    An rgb8 image of the right size is not copied: the array shares the message's memory; do not write to it.
    Raises StreamError for another aspect ratio, an encoding without colour or brightness, too little data.
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
    """What image_transport's "compressed" carries: JPEG or PNG of 8 bits, in OpenCV's order of channels."""
    data = np.frombuffer(msg.data, dtype=np.uint8)  # (bytes,)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(data, flags) if len(data) else None
    if image is None:
        raise StreamError(
            f"compressed image of format {msg.format!r} with {len(data)} bytes cannot be decoded: expected "
            "JPEG or PNG of 8 bits, as image_transport publishes it on <camera>/image_raw/compressed"
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # (h, w, 3)


def _direct(msg: Image) -> np.ndarray:
    pixels = _rows(msg, 3 * msg.width).reshape(msg.height, msg.width, 3)  # (h, w, 3)
    return pixels if msg.encoding == "rgb8" else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _rows(msg: Image, row_bytes: int) -> np.ndarray:
    """The image's bytes without the padding at the end of rows, (h, row_bytes); a view if there is none."""
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
    except (RuntimeError, TypeError, ValueError, KeyError, cv2.error) as error:  # as the two cv_bridges raise
        raise StreamError(
            f"image encoding '{msg.encoding}' cannot be converted to rgb8: {error}. Publish rgb8 or bgr8."
        ) from error


@cache
def _bridge() -> Any:
    try:
        from cv_bridge import CvBridge
        from cv_bridge.boost import cv_bridge_boost  # noqa: F401  the compiled half, imported here to fail early
    except (ImportError, AttributeError) as error:
        raise StreamError(
            f"cv_bridge cannot be loaded: {error}. Debian's binary cv_bridge is built against numpy 1 and "
            f"fails beside numpy {np.__version__}: install the pure Python one (pip install cv-bridge), or "
            "publish rgb8 or bgr8, which need none."
        ) from error
    return CvBridge()


class JointStateConverter:
    """Picks the contract's joints out of JointState messages by name, whatever their order there."""

    def __init__(self, joints: Sequence[str]) -> None:
        self._joints = tuple(joints)
        self._names: tuple[str, ...] | None = None  # of the last message
        self._indices = np.empty(0, dtype=np.intp)  # (D,)

    def __call__(self, msg: JointState) -> np.ndarray:
        """Positions in the contract's order, (D,) float64 [rad or m].

        Raises StreamError for a missing or repeated joint, arrays of different lengths, and NaN or infinity.
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
    """The entries of an array at `positions`, (D,); StreamError if there are fewer, or one is not finite."""
    values = np.asarray(msg.data, dtype=np.float64)  # (M,)
    if len(values) <= max(positions):
        raise StreamError(
            f"Float64MultiArray has {len(values)} values, at least {max(positions) + 1} are needed. "
            "Set 'action.mapping' to where each joint's value stands (left_gripper = 6)."
        )
    chosen = values[list(positions)]  # (D,)
    if not np.isfinite(chosen).all():
        raise StreamError("Float64MultiArray has values that are not finite")
    return chosen

# SPDX-License-Identifier: Apache-2.0
"""The encodings of sensor_msgs/Image, with OpenCV's conversion of each to RGB.

The names are those of sensor_msgs/image_encodings and of the drivers that have their own (usb_cam, gscam2).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.problems import did_you_mean, listing
from dit_policy_ros.ros.images._cv_bridge import cv_bridge_pixel_bytes

_TO_8_BIT = 255.0 / 65535.0


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the pixels lie in memory, and how they become RGB.

    channels: values per pixel. code: OpenCV's conversion to RGB; None if it is RGB already. wide: 16 bits per
    value. per_2x2: 1.5 values per pixel, in planes (NV12). even_width: pixels come in pairs. by_cv_bridge: it
    converts them, and ``channels`` counts bytes.
    """

    channels: int
    code: int | None
    wide: bool = False
    per_2x2: bool = False
    even_width: bool = False
    by_cv_bridge: bool = False

    def row_bytes(self, width: int) -> int:
        """Bytes of one row without padding."""
        return width * self.channels * (2 if self.wide else 1)

    def rows(self, height: int) -> int:
        """Rows in memory."""
        return height * 3 // 2 if self.per_2x2 else height

    def size_problem(self, width: int, height: int) -> str:
        """Why an image cannot have this size; empty if it can."""
        if (self.even_width or self.per_2x2) and width % 2:
            return "its width must be even"
        return "its height must be even" if self.per_2x2 and height % 2 else ""

    def to_rgb(self, rows: np.ndarray, width: int, is_bigendian: bool) -> np.ndarray:
        """RGB (h, w, 3) uint8 of packed rows (rows, row_bytes) uint8."""
        if self.wide:
            values = np.ascontiguousarray(rows).view(">u2" if is_bigendian else "<u2")
            rows = cv2.convertScaleAbs(values.astype(np.uint16), alpha=_TO_8_BIT)
        pixels = rows if self.channels == 1 else rows.reshape(len(rows), width, self.channels)
        return np.asarray(pixels if self.code is None else cv2.cvtColor(pixels, self.code), dtype=np.uint8)


def _table() -> dict[str, Encoding]:
    colours = {
        "rgb": (3, None),
        "bgr": (3, cv2.COLOR_BGR2RGB),
        "rgba": (4, cv2.COLOR_RGBA2RGB),
        "bgra": (4, cv2.COLOR_BGRA2RGB),
        "mono": (1, cv2.COLOR_GRAY2RGB),
        "bayer_rggb": (1, cv2.COLOR_BayerRGGB2RGB),
        "bayer_bggr": (1, cv2.COLOR_BayerBGGR2RGB),
        "bayer_gbrg": (1, cv2.COLOR_BayerGBRG2RGB),
        "bayer_grbg": (1, cv2.COLOR_BayerGRBG2RGB),
    }
    table = {f"{name}8": Encoding(*how) for name, how in colours.items()}
    table |= {f"{name}16": Encoding(*how, wide=True) for name, how in colours.items()}
    for names, code in (
        (("yuv422", "uyvy", "uyvy422"), cv2.COLOR_YUV2RGB_UYVY),
        (("yuv422_yuy2", "yuyv", "yuyv422", "yuy2"), cv2.COLOR_YUV2RGB_YUYV),
        (("yvyu", "yvyu422"), cv2.COLOR_YUV2RGB_YVYU),
    ):
        table |= dict.fromkeys(names, Encoding(2, code, even_width=True))
    table["nv12"] = Encoding(1, cv2.COLOR_YUV2RGB_NV12, per_2x2=True)
    table["nv21"] = Encoding(1, cv2.COLOR_YUV2RGB_NV21, per_2x2=True)
    return table


ENCODINGS = _table()
"""By name, in small letters."""

_DEPTH = ("16uc1", "32fc1", "mono32", "64fc1")
_REMEDY = "Publish rgb8 or another colour encoding"


def find_encoding(name: str) -> Encoding:
    """The encoding of this name. Raises StreamError for one that is no picture, or is not known."""
    encoding = ENCODINGS.get(name.lower())
    if encoding is not None:
        return encoding
    if name.lower() in _DEPTH:
        why = (
            "it holds distances or other measurements, which are no picture. To record distances, say "
            "'kind: depth' and its depth_unit for this camera"
        )
    elif name.lower() in ("8uc1", "8uc3", "8uc4"):
        why = "it does not say which colour each channel has"
    elif pixel_bytes := cv_bridge_pixel_bytes(name):
        return Encoding(pixel_bytes, None, by_cv_bridge=True)
    else:
        why = (
            f"it is not known.{did_you_mean(name.lower(), sorted(ENCODINGS))} Known are {listing(ENCODINGS)}"
        )
    raise StreamError(f"image encoding '{name}' cannot be converted to RGB: {why}. {_REMEDY}")

# SPDX-License-Identifier: Apache-2.0
"""Measures how much each image of a camera differs from the one before, as the images arrive."""

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from dit_policy_ros.core.calibration import ImageMotion
from dit_policy_ros.core.contract import NANOSECONDS, Camera
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.data.video import depth_picture
from dit_policy_ros.ros.common import qos, stamp_ns
from dit_policy_ros.ros.images import read_camera_image

_WIDTH = 160  # [pixel] about, of the images that are compared: averaging removes noise


def small_grey(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The brightness of an image (H, W, 3), averaged over squares of pixels -> (h, w)."""
    size = max(1, image.shape[1] // _WIDTH)
    height, width = image.shape[0] // size, image.shape[1] // size
    squares = image[: height * size, : width * size].reshape(height, size, width, size * 3)
    return squares.mean(axis=(1, 3), dtype=np.float32)


class ImageMotionListener:
    """Subscribes to a camera. Images are compared one by one and not kept.

    Attributes:
        refusal: why the last image could not be used; empty if all could.
    """

    def __init__(self, node: Node, camera: Camera) -> None:
        """Subscribe until the node is destroyed."""
        self.camera, self.refusal = camera, ""
        self._stamps: list[int] = []  # [ns]
        self._changes: list[float] = []
        self._last: NDArray[np.float32] | None = None
        kind = CompressedImage if camera.compressed else Image
        node.create_subscription(
            kind,
            camera.topic,
            self._on_image,
            qos.IMAGES,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )

    def between(self, begin_ns: int, end_ns: int) -> ImageMotion:
        """The motion of the images with stamps in a range, in seconds since ``begin_ns``."""
        stamps, changes = np.array(self._stamps, np.int64), np.array(self._changes)  # (F,) both
        count = min(len(stamps), len(changes))  # an image may arrive meanwhile
        stamps, changes = stamps[:count], changes[:count]
        inside = np.flatnonzero((stamps >= begin_ns) & (stamps <= end_ns))  # (F',)
        return ImageMotion((stamps[inside] - begin_ns) / NANOSECONDS, changes[inside[1:]])

    def _on_image(self, message: Image | CompressedImage) -> None:
        stamp = stamp_ns(message.header.stamp)
        if self._stamps and stamp <= self._stamps[-1]:
            return  # out of order or repeated: its motion is part of the next one's
        try:
            image = read_camera_image(message, self.camera)
            if self.camera.is_depth:
                image = depth_picture(image, self.camera.depth_unit)
            grey = small_grey(image)  # (h, w)
        except StreamError as error:
            self.refusal = str(error)
            return
        change = 0.0 if self._last is None else float(np.abs(grey - self._last).mean())
        self._last = grey
        self._changes.append(change)
        self._stamps.append(stamp)

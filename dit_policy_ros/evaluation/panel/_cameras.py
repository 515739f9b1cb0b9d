# SPDX-License-Identifier: Apache-2.0
"""The newest image of each camera as JPEG, with its rate and age."""

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import cv2
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.data.video import depth_picture
from dit_policy_ros.ros.common import image_to_rgb, qos
from dit_policy_ros.ros.images import read_camera_image

STALE_AFTER = 1.0  # [s] without an image
_DEPTH_UNITS = {"16uc1": "mm", "32fc1": "m"}  # by encoding (REP 118)
_WINDOW = 2.0  # [s] over which the rate is counted
_WIDEST = 640  # [pixel] of a picture that is sent to a browser
_QUALITY = 75  # of the JPEG
_KINDS = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}


class CameraView:
    """One camera. Images are kept as they come; only those that a browser asks for are decoded.

    Args:
        node: gets the subscription.
        topic: full name, of either type of image message.
    """

    def __init__(self, node: Node, topic: str) -> None:
        self._node, self._topic = node, topic
        self._kind: Any = None
        self._message: Any = None
        self._arrivals: deque[float] = deque(maxlen=256)  # [s]
        self._lock = threading.Lock()
        self._encoded: tuple[Any, bytes] = (None, b"")
        self.problem = ""
        self.scene = b""  # JPEG at the beginning of the last episode

    def connect(self, types: Mapping[str, list[str]]) -> None:
        """Subscribe once somebody publishes. types: of all topics, by name."""
        kind = next((_KINDS[name] for name in types.get(self._topic, ()) if name in _KINDS), None)
        if self._kind is None and kind is not None:
            self._kind = kind
            self._node.create_subscription(kind, self._topic, self._on_image, qos.NEWEST, raw=True)

    def _on_image(self, message: bytes) -> None:
        self._message = message
        self._arrivals.append(time.monotonic())

    def age(self, now: float) -> float:
        """Time since the newest image came [s]; infinity before the first. now: ``time.monotonic()``."""
        return now - self._arrivals[-1] if self._arrivals else float("inf")

    def rate(self, now: float) -> float:
        """Rate at which images come [Hz]. now: ``time.monotonic()``."""
        return sum(now - arrival <= _WINDOW for arrival in list(self._arrivals)) / _WINDOW

    def jpeg(self) -> bytes:
        """The newest image; empty without one. Each image is encoded once, however many ask for it."""
        with self._lock:
            message = self._message
            if message is not self._encoded[0]:
                try:
                    self._encoded = (message, _to_jpeg(deserialize_message(message, self._kind)))
                    self.problem = ""
                except StreamError as error:
                    self._encoded, self.problem = (message, b""), str(error)
            return self._encoded[1]

    def remember_scene(self) -> None:
        """Keep the newest image, to lay over later ones."""
        self.scene = self.jpeg()


def _to_jpeg(message: Image | CompressedImage) -> bytes:
    if isinstance(message, CompressedImage) and bytes(message.data[:2]) == b"\xff\xd8":
        return bytes(message.data)
    if isinstance(message, CompressedImage):
        raise StreamError(f"an image of format {message.format!r}: only JPEG is shown")
    if unit := _DEPTH_UNITS.get(message.encoding.lower()):
        camera = Camera("", "", message.height, message.width, STALE_AFTER, depth_unit=unit)
        image = depth_picture(read_camera_image(message, camera), unit)  # (H, W, 3)
    else:
        image = image_to_rgb(message, message.height, message.width)  # (H, W, 3)
    height, width = image.shape[:2]
    if width > _WIDEST:
        image = cv2.resize(image, (_WIDEST, max(1, round(height * _WIDEST / width))))
    flags = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)[1].tobytes()

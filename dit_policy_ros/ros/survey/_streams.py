# SPDX-License-Identifier: Apache-2.0
"""Measures image topics and joint states for a few seconds: sizes, encodings, rates, losses, names."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, JointState

from dit_policy_ros.core.contract import NANOSECONDS, Camera
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.ros.common import qos, stamp_ns
from dit_policy_ros.ros.images import read_camera_image
from dit_policy_ros.ros.survey._survey import wait_until

_FEWEST = 3  # messages from which a rate is computed


@dataclass(slots=True)
class StreamFacts:
    """What was received on a topic.

    Attributes:
        topic: its full name.
        stamps: of the messages, in the order of arrival [ns].
        newest: the last message; None if none came.
        names: joints of joint states, in the order in which they first came.
    """

    topic: str
    stamps: list[int] = field(default_factory=list)
    newest: Any = None
    names: dict[str, None] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """From the median interval of the stamps [Hz]; NaN if too few came."""
        intervals = self._intervals()
        return float(NANOSECONDS / np.median(intervals)) if len(intervals) else float("nan")

    @property
    def lost(self) -> float:
        """Share of the messages that were sent, by their stamps, and did not come; NaN if too few came."""
        intervals = self._intervals()
        if not len(intervals):
            return float("nan")
        sent = round(float(intervals.sum() / np.median(intervals))) + 1
        return max(0.0, 1.0 - (len(intervals) + 1) / sent)

    def _intervals(self) -> np.ndarray:
        stamps = np.unique(np.array(self.stamps, np.int64))  # (N,)
        return np.diff(stamps) if len(stamps) >= _FEWEST else np.empty(0)

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the images [pixel]; None if they cannot be read."""
        if isinstance(self.newest, Image):
            return (self.newest.height, self.newest.width)
        if isinstance(self.newest, CompressedImage):
            return _compressed_size(bytes(self.newest.data))
        return None

    @property
    def encoding(self) -> str:
        """Of the images; empty if none came."""
        if isinstance(self.newest, CompressedImage):
            return f"compressed ({self.newest.format})"
        return self.newest.encoding if isinstance(self.newest, Image) else ""

    def image_problem(self, camera: Camera) -> str:
        """Why the newest image cannot be used for a camera of the contract; empty if it can."""
        try:
            read_camera_image(self.newest, camera)
        except StreamError as error:
            return str(error)
        return ""


def measure_streams(
    node: Node, images: Iterable[tuple[str, bool]], joint_states: Iterable[str], seconds: float
) -> dict[str, StreamFacts]:
    """Listen for so long [s] after the first message, or since now if there is none; by topic.

    Args:
        node: must be spinning.
        images: topics, and whether they carry sensor_msgs/CompressedImage.
        joint_states: topics.
        seconds: how long.
    """
    facts: dict[str, StreamFacts] = {}
    subscriptions = []

    def listen(topic: str, kind: type, profile: Any) -> None:
        stream = facts[topic] = StreamFacts(node.resolve_topic_name(topic))

        def receive(message: Any) -> None:
            stream.stamps.append(stamp_ns(message.header.stamp))
            stream.newest = message
            if isinstance(message, JointState):
                stream.names |= dict.fromkeys(message.name)

        group = MutuallyExclusiveCallbackGroup()
        subscriptions.append(node.create_subscription(kind, topic, receive, profile, callback_group=group))

    for topic, compressed in images:
        listen(topic, CompressedImage if compressed else Image, qos.IMAGES)
    for topic in joint_states:
        listen(topic, JointState, qos.JOINT_STATES)
    try:
        wait_until(lambda: facts and all(each.stamps for each in facts.values()), seconds)
        for each in facts.values():  # the first ones may be from before the connection was complete
            each.stamps.clear()
        time.sleep(seconds)
    finally:
        for subscription in subscriptions:
            node.destroy_subscription(subscription)
    return facts


def _compressed_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG or PNG; None if it cannot be decoded."""
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    return None if image is None else (int(image.shape[0]), int(image.shape[1]))

# SPDX-License-Identifier: Apache-2.0
"""The cameras and the joint states of the contract, as streams: what both nodes listen to."""

import functools
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, JointState

from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.sensing import FrozenImageDetector, ObservationBuilder, StreamBuffer
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.common._convert import JointStateConverter, stamp_ns
from dit_policy_ros.ros.common._event_log import EventLog, Severity
from dit_policy_ros.ros.common._unwatched import UnwatchedGroup, waiting_messages


class SensorStreams:
    """Subscribes to cameras and joint states; callbacks only store.

    Args:
        node: whose subscriptions they are.
        contract: topics, names and ages.
        n_obs_steps: instants in an observation.
        cameras: names of the cameras that are needed; all of the contract's by default.
        margin: history kept beyond what is needed [s].
        on_image: called after each new image.
        frozen_after: so long may a picture stay the same while all arms move [s]; 0 for ever.
        events: gets what is wrong with messages; one of its own by default.
        joints_when_read: joint states wait until somebody reads them, instead of waking the node. They come
            at 100 Hz and more: to be woken by each costs more time than all else that listens.
    """

    def __init__(
        self,
        node: Node,
        contract: Contract,
        n_obs_steps: int = 1,
        cameras: Sequence[str] | None = None,
        margin: float = 0.5,
        on_image: Callable[[], None] = lambda: None,
        frozen_after: float = 0.0,
        events: EventLog | None = None,
        joints_when_read: bool = False,
    ) -> None:
        self._node, self._contract, self._on_new_image = node, contract, on_image
        # Not reentrant: rclpy would hand each subscription to its threads again and again until the message
        # is taken, which doubles the CPU time of listening.
        self._group = MutuallyExclusiveCallbackGroup()
        self._events = events or EventLog(node.get_logger(), time.monotonic_ns)
        self._fingerprint = frozen_after > 0.0
        self.observations = ObservationBuilder(contract, n_obs_steps, cameras, margin)
        self._pictures = FrozenImageDetector(contract, tuple(self.observations.images), frozen_after)
        self._subscriptions: list[Any] = []
        self._taking = threading.Lock()
        for stream in self.observations.images.values():
            kind = CompressedImage if contract.camera(stream.name).compressed else Image
            self.subscribe(kind, stream.topic, functools.partial(self._on_image, stream), qos.IMAGES)
        self._listen_to_joints(self.observations.joints, joints_when_read)

    def now_ns(self) -> int:
        """The node's clock [ns]."""
        return self._node.get_clock().now().nanoseconds

    def trouble(self, now_ns: int) -> dict[str, str]:
        """What is wrong with each stream that cannot be relied on at ``now_ns``, by its name."""
        return self._pictures.frozen() | self.observations.stale(now_ns)

    def measured(self) -> np.ndarray | None:
        """The measured pose (A,) in contract order, where it is fresh."""
        now_ns = self.now_ns()
        joints = self.observations.joints
        sample = joints.latest_at(now_ns)
        if sample is None or now_ns - sample.stamp_ns > joints.max_age * NANOSECONDS:
            return None
        return np.asarray(sample.value, dtype=np.float64)

    def subscribe(self, kind: Any, topic: str, callback: Callable[[Any], None], profile: Any) -> None:
        """One more subscription, which `close` ends with the others."""
        self._subscriptions.append(
            self._node.create_subscription(kind, topic, callback, profile, callback_group=self._group)
        )

    def complain(self, text: str) -> None:
        """Logs what is wrong with a message; messages come at 100 Hz, so the log limits its rate."""
        self._events.add(Severity.ERROR, "stream", text)

    def close(self) -> None:
        """Ends all subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _listen_to_joints(self, stream: StreamBuffer, when_read: bool) -> None:
        convert = JointStateConverter(self._contract.joints)
        callback = functools.partial(self._on_joints, stream, convert)
        if not when_read:
            self.subscribe(JointState, stream.topic, callback, qos.JOINT_STATES)
            return
        subscription = self._node.create_subscription(
            JointState, stream.topic, callback, qos.JOINT_STATES, callback_group=UnwatchedGroup()
        )
        self._subscriptions.append(subscription)

        def take_all() -> None:
            with self._taking:  # whole, so that what came first is pushed first
                for message in waiting_messages(subscription):
                    callback(message)

        stream.before_read = take_all

    def _on_image(self, stream: StreamBuffer, msg: Image | CompressedImage) -> None:
        stamp = stamp_ns(msg.header.stamp)
        is_new = stream.push(stamp, msg, self.now_ns())
        self._on_new_image()  # before what nobody waits for
        if is_new and self._fingerprint:
            self._pictures.update(stream.name, stamp, zlib.crc32(msg.data), self.measured())

    def _on_joints(self, stream: StreamBuffer, convert: JointStateConverter, msg: JointState) -> None:
        try:
            stream.push(stamp_ns(msg.header.stamp), convert(msg), self.now_ns())
        except StreamError as error:  # the stream becomes stale unless good messages come too
            self.complain(f"'{stream.topic}' cannot be used: {error}")

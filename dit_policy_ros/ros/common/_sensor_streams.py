# SPDX-License-Identifier: Apache-2.0
"""The contract's cameras and joint states: subscriptions of policy and recorder, buffered by stamp."""

import functools
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
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
from dit_policy_ros.ros.common._scheduling import UnwatchedGroup, take_messages


@dataclass(frozen=True, slots=True)
class SensorSettings:
    """How SensorStreams listens and what it keeps.

    n_obs_steps: time steps of an observation. cameras: names of the cameras to subscribe to; None for all of
    the contract's. history_margin: history kept beyond what an observation needs [s]. frozen_after: a camera
    counts as frozen if its image stays the same for this long while all arms move [s]; 0 disables the check.
    read_joints_on_demand: joint states stay in the middleware until they are read, so that they do not wake
    the node. They arrive at 100 Hz and more, and waking up for each costs more CPU than all other callbacks.
    """

    n_obs_steps: int = 1
    cameras: tuple[str, ...] | None = None
    history_margin: float = 0.5
    frozen_after: float = 0.0
    read_joints_on_demand: bool = False


class SensorStreams:
    """Subscribes to cameras and joint states. Callbacks only store messages.

    Args:
        node: owns the subscriptions.
        contract: topics, names and maximum ages.
        settings: what to keep, and which checks to run.
        on_image: called after each new image.
        events: where unusable messages are logged. By default an own log with the node's logger.
    """

    def __init__(
        self,
        node: Node,
        contract: Contract,
        settings: SensorSettings = SensorSettings(),
        *,
        on_image: Callable[[], None] = lambda: None,
        events: EventLog | None = None,
    ) -> None:
        self._node, self._contract, self._on_new_image = node, contract, on_image
        # Not reentrant: with a reentrant group rclpy submits each subscription to its threads again and again
        # until the message is taken, which doubles the CPU time of receiving.
        self._group = MutuallyExclusiveCallbackGroup()
        self._events = events or EventLog(node.get_logger(), time.monotonic_ns)
        self._checks_frozen_images = settings.frozen_after > 0.0
        self.observations = ObservationBuilder(
            contract, settings.n_obs_steps, settings.cameras, settings.history_margin
        )
        self._frozen_images = FrozenImageDetector(
            contract, tuple(self.observations.images), settings.frozen_after
        )
        self._subscriptions: list[Any] = []
        self._take_lock = threading.Lock()
        for stream in self.observations.images.values():
            kind = CompressedImage if contract.camera(stream.name).compressed else Image
            self.subscribe(kind, stream.topic, functools.partial(self._on_image, stream), qos.IMAGES)
        self._subscribe_to_joints(self.observations.joints, settings.read_joints_on_demand)

    def now_ns(self) -> int:
        """The node's clock [ns]."""
        return self._node.get_clock().now().nanoseconds

    def faults(self, now_ns: int) -> dict[str, str]:
        """The streams that are frozen or stale at `now_ns`, by name, each with the reason."""
        return self._frozen_images.frozen() | self.observations.stale(now_ns)

    def measured(self) -> np.ndarray | None:
        """The measured joint positions (A,) in contract order, or None if they are stale."""
        now_ns = self.now_ns()
        joints = self.observations.joints
        sample = joints.latest_at(now_ns)
        if sample is None or now_ns - sample.stamp_ns > joints.max_age * NANOSECONDS:
            return None
        return np.asarray(sample.value, dtype=np.float64)

    def subscribe(self, kind: Any, topic: str, callback: Callable[[Any], None], profile: Any) -> None:
        """Adds a subscription, which `close` destroys with the others."""
        self._subscriptions.append(
            self._node.create_subscription(kind, topic, callback, profile, callback_group=self._group)
        )

    def log_bad_message(self, text: str) -> None:
        """Logs why a message cannot be used. Rate-limited, since messages arrive at 100 Hz."""
        self._events.add(Severity.ERROR, "stream", text)

    def close(self) -> None:
        """Destroys all subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _subscribe_to_joints(self, stream: StreamBuffer, on_demand: bool) -> None:
        convert = JointStateConverter(self._contract.joints)
        callback = functools.partial(self._on_joints, stream, convert)
        if not on_demand:
            self.subscribe(JointState, stream.topic, callback, qos.JOINT_STATES)
            return
        subscription = self._node.create_subscription(
            JointState, stream.topic, callback, qos.JOINT_STATES, callback_group=UnwatchedGroup()
        )
        self._subscriptions.append(subscription)

        def take_all() -> None:
            with self._take_lock:  # one reader at a time, so that samples are pushed in order
                for message in take_messages(subscription):
                    callback(message)

        stream.before_read = take_all

    def _on_image(self, stream: StreamBuffer, msg: Image | CompressedImage) -> None:
        stamp = stamp_ns(msg.header.stamp)
        is_new = stream.push(stamp, msg, self.now_ns())
        self._on_new_image()  # first: inference waits for it, nobody waits for the checksum
        if is_new and self._checks_frozen_images:
            self._frozen_images.update(stream.name, stamp, zlib.crc32(msg.data), self.measured())

    def _on_joints(self, stream: StreamBuffer, convert: JointStateConverter, msg: JointState) -> None:
        try:
            stream.push(stamp_ns(msg.header.stamp), convert(msg), self.now_ns())
        except StreamError as error:  # the stream becomes stale unless good messages follow
            self.log_bad_message(f"'{stream.topic}' cannot be used: {error}")

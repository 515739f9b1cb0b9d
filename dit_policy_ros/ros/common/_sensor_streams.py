# SPDX-License-Identifier: Apache-2.0
"""The contract's cameras, joint states and vectors: subscriptions of policy and recorder, by stamp."""

import functools
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, JointState

from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.sensing import (
    FrozenImageDetector,
    JointBuffer,
    ObservationBuilder,
    StreamBuffer,
)
from dit_policy_ros.core.statistics import RecentBytes
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.common._convert import JointStateReader, stamp_ns
from dit_policy_ros.ros.common._event_log import EventLog, Severity
from dit_policy_ros.ros.common._scheduling import UnwatchedGroup, take_messages
from dit_policy_ros.ros.common.vectors import VectorConverter
from dit_policy_ros.ros.images import check_camera_image, read_camera_image
from dit_policy_ros.ros.poses import PoseReader


@dataclass(frozen=True, slots=True)
class SensorSettings:
    """How SensorStreams listens and what it keeps.

    n_obs_steps: time steps of an observation. cameras: names of the cameras to subscribe to; None for all of
    the contract's. vectors: names of the further vectors to subscribe to. history_margin: history kept beyond
    what an observation needs [s]. frozen_after: a camera counts as frozen if its image stays the same for
    this long while all arms move [s]; 0 disables the check. read_joints_on_demand: joint states and vectors
    stay in the middleware until they are read, so that they do not wake the node. They arrive at 100 Hz and
    more, and waking up for each costs more CPU than all other callbacks. decode: decodes an image of a
    camera, by name; raises StreamError if it cannot be used. By default to RGB, or distances, of the
    contract's size.
    """

    n_obs_steps: int = 1
    cameras: tuple[str, ...] | None = None
    history_margin: float = 0.5
    frozen_after: float = 0.0
    read_joints_on_demand: bool = False
    vectors: tuple[str, ...] = ()
    decode: Callable[[str, Any], object] | None = None


class SensorStreams:
    """Subscribes to cameras, joint states and further vectors. Callbacks only store messages.

    A message that cannot be used is refused: counted, logged and left out. Of an image only the header is
    looked at. The first one is decoded, and each one after an image that could not be decoded, until one can.

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
        self._decode = settings.decode or self._read_image
        self._checks_frozen_images = settings.frozen_after > 0.0
        self.observations = ObservationBuilder(
            contract, settings.n_obs_steps, settings.cameras, settings.history_margin, settings.vectors
        )
        self._frozen_images = FrozenImageDetector(
            contract, tuple(self.observations.images), settings.frozen_after
        )
        self._bytes = {name: RecentBytes() for name in self.observations.images}
        self._subscriptions: list[Any] = []
        self._take_lock, self._is_taking = threading.RLock(), False
        for stream in self.observations.images.values():
            kind = CompressedImage if contract.camera(stream.name).compressed else Image
            self.subscribe(kind, stream.topic, functools.partial(self._on_image, stream), qos.IMAGES)
        on_demand = settings.read_joints_on_demand
        self._subscribe_to_joints(on_demand)
        for stream in self.observations.vectors.values():
            reader = VectorConverter(contract.vector(stream.name))
            on_vector = functools.partial(self._on_vector, stream, reader)
            # A MultiArray has no stamp: waiting in the middleware would make it look younger than it is.
            topics = {stream.topic: on_vector}
            self._subscribe_to_values([(reader.message, topics)], stream, on_demand and reader.is_stamped)

    def now_ns(self) -> int:
        """The node's clock [ns]."""
        return self._node.get_clock().now().nanoseconds

    def faults(self, now_ns: int) -> dict[str, str]:
        """The streams that are frozen or stale at `now_ns`, by name, each with the reason."""
        return self._frozen_images.frozen() | self.observations.stale(now_ns)

    def accept_images(self) -> None:
        """An operator has looked at the cameras: images count as frozen by what comes from now on alone."""
        self._frozen_images.restart()

    def bytes_per_second(self) -> dict[str, float]:
        """By camera, the bytes per second of its messages' data."""
        return {name: recent.per_second(time.monotonic()) for name, recent in self._bytes.items()}

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

    def refuse(self, stream: StreamBuffer, error: StreamError) -> None:
        """Counts and logs a message that cannot be used."""
        stream.refuse(str(error), self.now_ns())
        self.log_bad_message(f"a message on '{stream.topic}' cannot be used: {error}")

    def push_joints(self, stream: JointBuffer, read: JointStateReader, topic: str, msg: JointState) -> None:
        """Adds the joints that a message has to a stream. topic: which of the stream's several."""
        try:
            joints, positions = read(msg)
            if joints:
                stream.push_some(stamp_ns(msg.header.stamp), joints, positions, self.now_ns(), topic)
        except StreamError as error:  # the joints become stale unless good messages follow
            self.refuse(stream, error)
            return
        if read.others and len(joints) < len(stream.joints):
            now_ns = self.now_ns()
            is_overdue = stream.note_others(read.others, now_ns) and stream.before_read is None
            # Maybe a joint has another name. Of messages that wait, others may be newer: then the reason why
            # the stream is stale says it.
            if is_overdue and (late := stream.late_joints(now_ns)):
                self.log_bad_message(
                    f"a message on '{stream.topic}' names {listing(read.others)}, but {listing(late)} of the "
                    "contract does not come"
                )

    def close(self) -> None:
        """Destroys all subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _subscribe_to_joints(self, on_demand: bool) -> None:
        """Subscribes to all topics of the joint states and of the measured poses, which fill one stream."""
        contract, mapping = self._contract, self._contract.robot_mapping
        several = len(contract.joint_states) > 1
        callbacks = {
            each.topic: functools.partial(
                self._on_joints, JointStateReader(mapping, each.prefix), each.topic if several else ""
            )
            for each in contract.joint_states
        }
        joints = self.observations.joints
        poses = {
            each.pose.state_topic: functools.partial(self._on_pose, joints, PoseReader(contract, each))
            for each in contract.controllers
            if each.pose is not None
        }
        self._subscribe_to_values([(JointState, callbacks), (PoseStamped, poses)], joints, on_demand)

    def _subscribe_to_values(
        self,
        callbacks: Sequence[tuple[Any, Mapping[str, Callable[[Any], None]]]],
        stream: StreamBuffer,
        on_demand: bool,
    ) -> None:
        """Subscribes to a stream of numbers; on demand, messages are taken when it is read.

        callbacks: by type of message and topic.
        """
        every = [(kind, topic, each) for kind, topics in callbacks for topic, each in topics.items()]
        if not on_demand:
            for kind, topic, callback in every:
                self.subscribe(kind, topic, callback, qos.JOINT_STATES)
            return
        waiting = [
            (
                self._node.create_subscription(
                    kind, topic, callback, qos.JOINT_STATES, callback_group=UnwatchedGroup()
                ),
                callback,
            )
            for kind, topic, callback in every
        ]
        self._subscriptions += [subscription for subscription, _ in waiting]

        def take_all() -> None:
            with self._take_lock:  # one reader at a time, so that samples are pushed in order
                if self._is_taking:
                    return  # a callback below reads the stream: what still waits does not count yet
                self._is_taking = True
                try:
                    for subscription, callback in waiting:
                        for message in take_messages(subscription):
                            callback(message)
                finally:
                    self._is_taking = False

        stream.before_read = take_all

    def _on_image(self, stream: StreamBuffer, msg: Image | CompressedImage) -> None:
        stamp = stamp_ns(msg.header.stamp)
        try:
            self._check_image(stream, msg)
        except StreamError as error:  # the stream becomes stale unless good images follow
            self.refuse(stream, error)
            return
        is_new = stream.push(stamp, msg, self.now_ns())
        self._bytes[stream.name].add(time.monotonic(), len(msg.data))
        self._on_new_image()  # first: inference waits for it, nobody waits for the checksum
        if is_new and self._checks_frozen_images:
            self._frozen_images.update(stream.name, stamp, zlib.crc32(msg.data), self.measured())

    def _on_joints(self, read: JointStateReader, topic: str, msg: JointState) -> None:
        """topic: which of several."""
        self.push_joints(self.observations.joints, read, topic, msg)

    def _on_pose(self, stream: JointBuffer, read: PoseReader, msg: PoseStamped) -> None:
        try:
            stream.push_some(stamp_ns(msg.header.stamp), read.joints, read(msg), self.now_ns())
        except StreamError as error:  # the pose becomes stale unless good messages follow
            self.refuse(stream, error)

    def _on_vector(self, stream: StreamBuffer, convert: VectorConverter, msg: Any) -> None:
        if convert.is_foreign(msg):
            return
        now_ns = self.now_ns()
        try:
            stream.push(stamp_ns(msg.header.stamp) if convert.is_stamped else now_ns, convert(msg), now_ns)
        except StreamError as error:
            self.refuse(stream, error)

    def _check_image(self, stream: StreamBuffer, msg: Image | CompressedImage) -> None:
        """Raises StreamError if an image cannot be used."""
        camera = self._contract.camera(stream.name)
        check_camera_image(msg, camera)
        if stream.is_suspect:
            self._decode(stream.name, msg)
            stream.is_suspect = False

    def _read_image(self, name: str, msg: Image | CompressedImage) -> np.ndarray:
        return read_camera_image(msg, self._contract.camera(name))

# SPDX-License-Identifier: Apache-2.0
"""Everything that the recorder listens to, as streams that can be asked about any recent time."""

import functools
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.action_source import ActionSource, CommandedActions, LeaderActions
from dit_policy_ros.core.command_stream import CommandStream
from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.observation import ObservationBuilder
from dit_policy_ros.core.streams import StreamBuffer
from dit_policy_ros.ros import qos
from dit_policy_ros.ros.command_messages import commanded_trajectory
from dit_policy_ros.ros.convert import JointStateConverter, stamp_ns

COMMAND_HISTORY = 5.0  # [s]
HISTORY_MARGIN = 2.0  # [s] a machine that is busy for a moment can still take every frame afterwards


class RecorderStreams:
    """Subscribes to cameras, joint states and commands; callbacks only store.

    Args:
        node: whose subscriptions they are.
        contract: topics, names and ages.
        leader_topic: JointState topic of a leader arm; None takes the controllers' commands as actions.
    """

    def __init__(self, node: Node, contract: Contract, leader_topic: str | None) -> None:
        self._node = node
        self._contract = contract
        self._group = MutuallyExclusiveCallbackGroup()  # a reentrant one costs twice the CPU
        self._reported: set[str] = set()
        self.observations = ObservationBuilder(contract, margin=HISTORY_MARGIN)
        self._subscriptions = [
            self._subscribe(Image, stream.topic, functools.partial(self._on_image, stream), qos.IMAGES)
            for stream in self.observations.images.values()
        ]
        self._listen_to_joints(self.observations.joints)
        self.actions: ActionSource
        if leader_topic is not None:
            leader = LeaderActions(contract, leader_topic, COMMAND_HISTORY)
            self._listen_to_joints(leader.stream)
            self.actions = leader
        else:
            commanded = CommandedActions(contract, COMMAND_HISTORY)
            for stream in commanded.streams.values():
                callback = functools.partial(self._on_command, stream)
                topic = stream.controller.topic
                self._subscriptions.append(self._subscribe(JointTrajectory, topic, callback, qos.COMMANDS))
            self.actions = commanded

    def now_ns(self) -> int:
        """The node's clock [ns]."""
        return self._node.get_clock().now().nanoseconds

    def problems(self) -> dict[str, str]:
        """Why no episode could begin now, by stream; empty if one can."""
        now_ns = self.now_ns()
        return self.observations.stale(now_ns) | self.actions.missing(now_ns)

    def close(self) -> None:
        """Ends all subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _subscribe(self, kind: Any, topic: str, callback: Callable[[Any], None], profile: Any) -> Any:
        return self._node.create_subscription(kind, topic, callback, profile, callback_group=self._group)

    def _listen_to_joints(self, stream: StreamBuffer) -> None:
        convert = JointStateConverter(self._contract.joints)
        callback = functools.partial(self._on_joints, stream, convert)
        self._subscriptions.append(self._subscribe(JointState, stream.topic, callback, qos.JOINT_STATES))

    def _on_image(self, stream: StreamBuffer, msg: Image) -> None:
        stream.push(stamp_ns(msg.header.stamp), msg, self.now_ns())

    def _on_joints(self, stream: StreamBuffer, convert: JointStateConverter, msg: JointState) -> None:
        try:
            stream.push(stamp_ns(msg.header.stamp), convert(msg), self.now_ns())
        except StreamError as error:  # the stream becomes stale unless good messages come too
            self._report_once(f"'{stream.topic}' cannot be used: {error}")

    def _on_command(self, stream: CommandStream, msg: JointTrajectory) -> None:
        now_ns = self.now_ns()
        controller = stream.controller
        measured = self.observations.joints.latest_at(now_ns)
        start = None if measured is None else measured.value[self._contract.indices(controller)]  # (A_c,)
        try:
            stream.push(commanded_trajectory(msg, controller.joints, now_ns, start))
        except StreamError as error:  # the controller does not follow it either
            self._report_once(f"a command on '{controller.topic}' is ignored: {error}")

    def _report_once(self, text: str) -> None:
        """Messages come at 100 Hz; each different complaint is worth one line (their number is bounded)."""
        if text not in self._reported and len(self._reported) < 100:
            self._reported.add(text)
            self._node.get_logger().error(text)

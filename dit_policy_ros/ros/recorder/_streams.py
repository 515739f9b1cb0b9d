# SPDX-License-Identifier: Apache-2.0
"""The recorder's subscriptions, as streams that can be sampled at any recent time."""

import functools
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState

from dit_policy_ros.core.contract import Contract, JointStateTopic
from dit_policy_ros.core.errors import ContractError, StreamError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.recording import (
    CONTROLLERS,
    ActionSource,
    CommandedActions,
    CommandStream,
    Control,
    ControlTrack,
    LeaderActions,
    TopicActions,
)
from dit_policy_ros.core.sensing import StreamBuffer
from dit_policy_ros.msg import ControlState
from dit_policy_ros.ros.common import (
    JointStateReader,
    SensorSettings,
    SensorStreams,
    listen_to_commands,
    qos,
    stamp_ns,
)
from dit_policy_ros.ros.recorder._frame_recorder import ImageReader
from dit_policy_ros.ros.recorder._parameters import COMMANDED, ActionSettings
from dit_policy_ros.ros.teleoperation import LEADER, positions_from

COMMAND_HISTORY = 5.0  # [s]
HISTORY_MARGIN = 2.0  # [s] of extra history, so that no frame is lost when the machine is busy for a moment


class RecorderStreams:
    """Cameras, joint states, further vectors and commands. Callbacks only store messages.

    Args:
        node: the node that subscribes.
        contract: topics, names and ages.
        action: the source of the actions.
        jpeg_cameras: names of the cameras whose JPEG images are kept as they are.
        control_topic: on which a policy node says who drives; empty: no policy is recorded.

    Attributes:
        control: who drives; None if no policy is recorded.
    """

    def __init__(
        self,
        node: Node,
        contract: Contract,
        action: ActionSettings,
        jpeg_cameras: Collection[str] = (),
        control_topic: str = "",
    ) -> None:
        settings = SensorSettings(
            history_margin=HISTORY_MARGIN,
            vectors=tuple(vector.name for vector in contract.vectors),
            decode=ImageReader(contract.cameras, jpeg_cameras),
        )
        self._sensors = SensorStreams(node, contract, settings)
        self.observations = self._sensors.observations
        self.actions: ActionSource = self._subscribe_to_actions(contract, action)
        self.control = ControlTrack(control_topic) if control_topic else None
        if control_topic:
            self._sensors.subscribe(ControlState, control_topic, self._on_control, qos.CONTROL)

    def now_ns(self) -> int:
        """The node's clock [ns]."""
        return self._sensors.now_ns()

    def problems(self) -> dict[str, str]:
        """Why no episode can begin now, by stream; empty if one can."""
        now_ns = self.now_ns()
        unknown = {} if self.control is None else self.control.missing(now_ns)
        return self.observations.stale(now_ns) | self.actions.missing(now_ns) | unknown

    def sources(self) -> list[StreamBuffer[Any] | CommandStream]:
        """All streams, of sensors and of commands."""
        return [*self.observations.streams, *self.actions.command_streams.values()]

    def refuse(self, is_topic: Callable[[str], bool], reason: str) -> None:
        """Count a message that could not even be read, for the streams of its topic."""
        now_ns = self.now_ns()
        for source in self.sources():
            if any(map(is_topic, source.topics)):
                source.refuse(reason, now_ns)
        self._sensors.log_bad_message(reason)

    def close(self) -> None:
        """End all subscriptions."""
        self._sensors.close()

    def _subscribe_to_actions(self, contract: Contract, action: ActionSettings) -> ActionSource:
        if action.source == COMMANDED:
            commanded = CommandedActions(contract, COMMAND_HISTORY)
            listen_to_commands(self._sensors, contract, commanded)
            return commanded
        if arms := [each.pose.name for each in contract.controllers if each.pose is not None]:
            raise ContractError(
                f"action.source: expected {COMMANDED}, because the controllers of {listing(arms)} take "
                f"poses, got {action.source}. Publish the leader's pose as the target of the controller"
            )
        if action.source == LEADER:
            topics = action.topics or (JointStateTopic(action.topic),)
            leader = LeaderActions(contract, ", ".join(each.topic for each in topics), COMMAND_HISTORY)
            for each in topics:
                read = JointStateReader(action.mapping, each.prefix)
                which = each.topic if len(topics) > 1 else ""
                callback = functools.partial(self._sensors.push_joints, leader.stream, read, which)
                self._sensors.subscribe(JointState, each.topic, callback, qos.JOINT_STATES)
            return leader
        kind, positions = positions_from(action.source, action.mapping)
        held = TopicActions(action.topic)
        self._subscribe(kind, held.stream, lambda msg: (self.now_ns(), positions(msg)))
        return held

    def _subscribe(
        self, kind: type, stream: StreamBuffer, convert: Callable[[Any], tuple[int, np.ndarray]]
    ) -> None:
        """Fill a stream of vectors. `convert` returns a message's stamp [ns] and values (D,)."""
        callback = functools.partial(self._on_vector, stream, convert)
        self._sensors.subscribe(kind, stream.topic, callback, qos.JOINT_STATES)

    def _on_control(self, msg: ControlState) -> None:
        if self.control is not None and msg.controller < len(CONTROLLERS):
            control = Control(CONTROLLERS[msg.controller], msg.policy, msg.checkpoint)
            self.control.push(stamp_ns(msg.since), stamp_ns(msg.stamp), control)

    def _on_vector(
        self, stream: StreamBuffer, convert: Callable[[Any], tuple[int, np.ndarray]], msg: Any
    ) -> None:
        try:
            stamp, values = convert(msg)
            stream.push(stamp, values, self.now_ns())
        except StreamError as error:  # without good messages the stream becomes stale
            self._sensors.refuse(stream, error)

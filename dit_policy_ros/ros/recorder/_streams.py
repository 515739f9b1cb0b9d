# SPDX-License-Identifier: Apache-2.0
"""Everything that the recorder listens to, as streams that can be asked about any recent time."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from dit_policy_ros.core.contract import Contract, JointMapping
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.recording import ActionSource, CommandedActions, LeaderActions, TopicActions
from dit_policy_ros.core.sensing import StreamBuffer
from dit_policy_ros.ros.common import (
    JointStateConverter,
    SensorStreams,
    array_values,
    listen_to_commands,
    qos,
    stamp_ns,
)
from dit_policy_ros.ros.recorder._parameters import COMMANDED, LEADER, ActionSettings

COMMAND_HISTORY = 5.0  # [s]
HISTORY_MARGIN = 2.0  # [s] a machine that is busy for a moment can still take every frame afterwards


class RecorderStreams:
    """Cameras, joint states and commands; callbacks only store.

    Args:
        node: whose subscriptions they are.
        contract: topics, names and ages.
        action: where the actions come from.
    """

    def __init__(self, node: Node, contract: Contract, action: ActionSettings) -> None:
        self._sensors = SensorStreams(node, contract, margin=HISTORY_MARGIN)
        self.observations = self._sensors.observations
        self.actions: ActionSource = self._listen_to_actions(contract, action)

    def now_ns(self) -> int:
        """The node's clock [ns]."""
        return self._sensors.now_ns()

    def problems(self) -> dict[str, str]:
        """Why no episode could begin now, by stream; empty if one can."""
        now_ns = self.now_ns()
        return self.observations.stale(now_ns) | self.actions.missing(now_ns)

    def close(self) -> None:
        """Ends all subscriptions."""
        self._sensors.close()

    def _listen_to_actions(self, contract: Contract, action: ActionSettings) -> ActionSource:
        if action.source == COMMANDED:
            commanded = CommandedActions(contract, COMMAND_HISTORY)
            listen_to_commands(self._sensors, contract, commanded)
            return commanded
        mapping = action.mapping
        names = JointStateConverter(mapping.sources)
        if action.source == LEADER:
            leader = LeaderActions(contract, action.topic, COMMAND_HISTORY)
            self._listen(
                JointState, leader.stream, lambda msg: (stamp_ns(msg.header.stamp), mapping(names(msg)))
            )
            return leader
        held = TopicActions(action.topic)
        if action.array:
            positions = _positions(mapping)
            self._listen(
                Float64MultiArray,
                held.stream,
                lambda msg: (self.now_ns(), mapping(array_values(msg, positions))),
            )
        else:
            self._listen(JointState, held.stream, lambda msg: (self.now_ns(), mapping(names(msg))))
        return held

    def _listen(
        self, kind: type, stream: StreamBuffer, convert: Callable[[Any], tuple[int, np.ndarray]]
    ) -> None:
        """Fills a stream of vectors; `convert` gives a message's stamp [ns] and its values (D,)."""
        callback = functools.partial(self._on_vector, stream, convert)
        self._sensors.subscribe(kind, stream.topic, callback, qos.JOINT_STATES)

    def _on_vector(
        self, stream: StreamBuffer, convert: Callable[[Any], tuple[int, np.ndarray]], msg: Any
    ) -> None:
        try:
            stamp, values = convert(msg)
            stream.push(stamp, values, self.now_ns())
        except StreamError as error:  # the stream becomes stale unless good messages come too
            self._sensors.complain(f"'{stream.topic}' cannot be used: {error}")


def _positions(mapping: JointMapping) -> list[int]:
    """Where the joints' values stand in an array: at the number that is their source, or in order."""
    return [int(source) if source.isdecimal() else index for index, source in enumerate(mapping.sources)]

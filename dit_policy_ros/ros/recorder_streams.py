# SPDX-License-Identifier: Apache-2.0
"""Everything that the recorder listens to, as streams that can be asked about any recent time."""

from rclpy.node import Node

from dit_policy_ros.core.action_source import ActionSource, CommandedActions, LeaderActions
from dit_policy_ros.core.contract import Contract
from dit_policy_ros.ros.command_listener import listen_to_commands
from dit_policy_ros.ros.sensor_streams import SensorStreams

COMMAND_HISTORY = 5.0  # [s]
HISTORY_MARGIN = 2.0  # [s] a machine that is busy for a moment can still take every frame afterwards


class RecorderStreams:
    """Cameras, joint states and commands; callbacks only store.

    Args:
        node: whose subscriptions they are.
        contract: topics, names and ages.
        leader_topic: JointState topic of a leader arm; None takes the controllers' commands as actions.
    """

    def __init__(self, node: Node, contract: Contract, leader_topic: str | None) -> None:
        self._sensors = SensorStreams(node, contract, margin=HISTORY_MARGIN)
        self.observations = self._sensors.observations
        self.actions: ActionSource
        if leader_topic is not None:
            leader = LeaderActions(contract, leader_topic, COMMAND_HISTORY)
            self._sensors.listen_to_joints(leader.stream)
            self.actions = leader
        else:
            commanded = CommandedActions(contract, COMMAND_HISTORY)
            listen_to_commands(self._sensors, contract, commanded)
            self.actions = commanded

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

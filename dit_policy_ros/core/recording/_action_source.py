# SPDX-License-Identifier: Apache-2.0
"""Sources of a frame's action: the commands to the controllers, a leader arm, or a topic with commands."""

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from dit_policy_ros.core.contract import NANOSECONDS, Contract, ControllerType
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.recording._command_stream import CommandStream
from dit_policy_ros.core.sensing import (
    LATE_SAMPLE_TIMEOUT,
    JointBuffer,
    StreamBuffer,
    StreamSettings,
    stale_reason,
)

_COMMAND, _LEADER = TOPIC_SOURCES = ("command", "leader")  # names of the streams
_TOPIC_CAPACITY = 10_000  # samples, 10 s at 1 kHz
_LEADER_CAPACITY = 100_000  # samples


class ActionSource(Protocol):
    """Gives the action at any recent time: (A,) in the contract's joint order [rad or m]."""

    def at(self, time_ns: int) -> np.ndarray | None:
        """The action at a time [ns]; None if nothing was commanded until then."""
        ...

    def is_settled(self, time_ns: int, now_ns: int) -> bool:
        """Whether `at(time_ns)` is final: no later message can change it."""
        ...

    def is_fresh(self, time_ns: int) -> bool:
        """Whether the action at a time [ns] comes from a recent enough sample."""
        ...

    def missing(self, now_ns: int) -> dict[str, str]:
        """By name of the streams that give no action at present, the reason; empty if there is an action."""
        ...

    @property
    def command_streams(self) -> Mapping[str, StreamBuffer[np.ndarray] | CommandStream]:
        """By name, the streams that the commands come from; they count what they drop."""
        ...

    def clear(self) -> None:
        """Drops all commands."""
        ...


class CommandedActions:
    """Samples the trajectories that the controllers of the contract have accepted."""

    def __init__(self, contract: Contract, keep: float) -> None:
        """Prepare one stream per controller.

        Args:
            contract: controllers and joints.
            keep: how long commands are kept [s].

        Raises:
            ContractError: a controller is commanded by goals, which other nodes cannot subscribe to.
        """
        grippers = [c.name for c in contract.controllers if c.type is ControllerType.PARALLEL_GRIPPER]
        if grippers:
            raise ContractError(
                f"Cannot record actions for controller {listing(map(repr, grippers))}: a "
                "parallel_gripper_controller takes goals, not a topic. Set action.source to leader, array or "
                "joint_state."
            )
        self.streams = {
            controller.name: CommandStream(controller, keep) for controller in contract.controllers
        }
        self._indices = {controller.name: contract.indices(controller) for controller in contract.controllers}
        self._action_dim = contract.action_dim

    @property
    def command_streams(self) -> Mapping[str, CommandStream]:
        """See ActionSource."""
        return self.streams

    def at(self, time_ns: int) -> np.ndarray | None:
        """See ActionSource."""
        action = np.empty(self._action_dim)  # (A,)
        for name, stream in self.streams.items():
            command = stream.at(time_ns)
            if command is None:
                return None
            action[self._indices[name]] = command
        return action

    def is_settled(self, time_ns: int, now_ns: int) -> bool:
        """For all past times: a command takes effect when it arrives."""
        return time_ns <= now_ns

    def is_fresh(self, time_ns: int) -> bool:
        """Unless the last command could not be used: a controller follows it until it receives another."""
        return all(stream.is_known(time_ns) for stream in self.streams.values())

    def missing(self, now_ns: int) -> dict[str, str]:
        """See ActionSource."""
        return {
            name: _nothing_commanded(stream)
            for name, stream in self.streams.items()
            if stream.at(now_ns) is None
        }

    def clear(self) -> None:
        """See ActionSource."""
        for stream in self.streams.values():
            stream.clear()


class TopicActions:
    """The newest command on a topic; `stream` takes (A,) arrays, stamped with the time of arrival.

    A robot follows its last command until it receives another, so a command does not become stale.
    """

    def __init__(self, topic: str) -> None:
        self.stream: StreamBuffer[np.ndarray] = StreamBuffer(
            StreamSettings(_COMMAND, math.inf, _TOPIC_CAPACITY, topic=topic, config_key="action.topic")
        )

    @property
    def command_streams(self) -> Mapping[str, StreamBuffer[np.ndarray]]:
        """See ActionSource."""
        return {self.stream.name: self.stream}

    def at(self, time_ns: int) -> np.ndarray | None:
        """See ActionSource."""
        sample = self.stream.latest_at(time_ns)
        return None if sample is None else np.array(sample.value, dtype=np.float64)  # (A,)

    def is_settled(self, time_ns: int, now_ns: int) -> bool:
        """For all past times: a command takes effect when it arrives."""
        return time_ns <= now_ns

    def is_fresh(self, time_ns: int) -> bool:
        """Always: a command does not become stale."""
        return True

    def missing(self, now_ns: int) -> dict[str, str]:
        """See ActionSource."""
        if self.at(now_ns) is not None:
            return {}
        return {self.stream.name: f"'{self.stream.topic}': nothing commanded yet; start the teleoperation"}

    def clear(self) -> None:
        """See ActionSource."""
        self.stream.clear()


class LeaderActions:
    """The newest joint positions of a leader; `stream` takes joints with their own stamps.

    topic: for messages; several have ", " between them.
    """

    def __init__(self, contract: Contract, topic: str, keep: float) -> None:
        self._fresh_ns = 2 * contract.dt_ns
        self.stream = JointBuffer(
            StreamSettings(
                _LEADER,
                contract.joint_states_max_age,
                _LEADER_CAPACITY,
                keep=keep,
                topic=topic,
                config_key="joint_states.max_age",
            ),
            contract.joints,
            configured_in="action",
        )

    @property
    def command_streams(self) -> Mapping[str, StreamBuffer[np.ndarray]]:
        """See ActionSource."""
        return {self.stream.name: self.stream}

    def at(self, time_ns: int) -> np.ndarray | None:
        """See ActionSource."""
        sample = self.stream.latest_at(time_ns)
        return None if sample is None else np.array(sample.value, dtype=np.float64)  # (A,)

    def is_settled(self, time_ns: int, now_ns: int) -> bool:
        """Once there is a sample at or after that time, or the leader's samples have timed out."""
        newest = self.stream.newest_stamp_ns
        has_newer = newest is not None and newest >= time_ns
        return has_newer or now_ns - time_ns > LATE_SAMPLE_TIMEOUT * NANOSECONDS

    def is_fresh(self, time_ns: int) -> bool:
        """Whether the sample is at most two periods old."""
        sample = self.stream.latest_at(time_ns)
        return sample is not None and time_ns - sample.stamp_ns <= self._fresh_ns

    def missing(self, now_ns: int) -> dict[str, str]:
        """See ActionSource."""
        reason = stale_reason(self.stream, now_ns)
        return {} if reason is None else {self.stream.name: reason}

    def clear(self) -> None:
        """See ActionSource."""
        self.stream.clear()


def _nothing_commanded(stream: CommandStream) -> str:
    if stream.counters.refused:
        return (
            f"'{stream.controller.topic}': {stream.counters.refused} commands came, and none can be used: "
            f"{stream.refusal}"
        )
    return f"'{stream.controller.topic}': nothing commanded yet; start the teleoperation, or move once"

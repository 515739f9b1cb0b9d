# SPDX-License-Identifier: Apache-2.0
"""Where the action of a frame comes from: the controllers' commands, a leader arm, or a topic of commands."""

import math
from typing import Protocol

import numpy as np

from dit_policy_ros.core.contract import NANOSECONDS, Contract, ControllerType
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.recording._command_stream import CommandStream
from dit_policy_ros.core.sensing import PATIENCE, StreamBuffer, stale_reason

_HELD_COMMANDS = 10_000  # 10 s at 1 kHz


class ActionSource(Protocol):
    """Answers for any time of the recent past. Actions are (A,) in the contract's joint order [rad or m]."""

    def at(self, time_ns: int) -> np.ndarray | None:
        """The command in force at a time [ns]; None if there is none."""
        ...

    def is_settled(self, time_ns: int, now_ns: int) -> bool:
        """Whether `at(time_ns)` cannot change any more."""
        ...

    def is_fresh(self, time_ns: int) -> bool:
        """Whether the command in force is recent enough to be one."""
        ...

    def missing(self, now_ns: int) -> dict[str, str]:
        """What keeps it from giving an action now, by the name of the stream; empty when it can."""
        ...

    def clear(self) -> None:
        """Forgets all commands."""
        ...


class CommandedActions:
    """What the controllers of the contract were told, sampled from the trajectories they accepted."""

    def __init__(self, contract: Contract, keep: float) -> None:
        """Raises ContractError for a controller whose commands nobody but itself can hear."""
        deaf = [each.name for each in contract.controllers if each.type is ControllerType.PARALLEL_GRIPPER]
        if deaf:
            raise ContractError(
                f"what {listing(deaf)} is told cannot be recorded: a parallel_gripper_controller is "
                "commanded by an action, which only it receives. Set action.source to leader."
            )
        self.streams = {
            controller.name: CommandStream(controller, keep) for controller in contract.controllers
        }
        self._indices = {controller.name: contract.indices(controller) for controller in contract.controllers}
        self._action_dim = contract.action_dim

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
        """Always: a command counts from its arrival, and what arrives from now on is later than the past."""
        return time_ns <= now_ns

    def is_fresh(self, time_ns: int) -> bool:
        """Always: a controller obeys its last command until there is another."""
        return True

    def missing(self, now_ns: int) -> dict[str, str]:
        """See ActionSource."""
        return {
            name: f"'{stream.controller.topic}': nothing commanded yet; start the teleoperation, or move once"
            for name, stream in self.streams.items()
            if stream.at(now_ns) is None
        }

    def clear(self) -> None:
        """See ActionSource."""
        for stream in self.streams.values():
            stream.clear()


class HeldActions:
    """The newest command on a topic; `stream` is fed with (A,) arrays, stamped as they arrive.

    A robot obeys its last command until there is another, so that one is in force however old it is.
    """

    def __init__(self, topic: str) -> None:
        self.stream: StreamBuffer[np.ndarray] = StreamBuffer(
            "command", math.inf, capacity=_HELD_COMMANDS, topic=topic, config_key="action.topic"
        )

    def at(self, time_ns: int) -> np.ndarray | None:
        """See ActionSource."""
        sample = self.stream.latest_at(time_ns)
        return None if sample is None else np.array(sample.value, dtype=np.float64)  # (A,)

    def is_settled(self, time_ns: int, now_ns: int) -> bool:
        """Always: a command counts from its arrival."""
        return time_ns <= now_ns

    def is_fresh(self, time_ns: int) -> bool:
        """Always: see the class."""
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
    """The newest joint positions of a leader arm at or before a time; `stream` is fed with (A,) arrays."""

    def __init__(self, contract: Contract, topic: str, keep: float) -> None:
        self._fresh_ns = 2 * contract.dt_ns
        self.stream: StreamBuffer[np.ndarray] = StreamBuffer(
            "leader",
            contract.joint_states_max_age,
            capacity=100_000,
            keep=keep,
            topic=topic,
            config_key="joint_states.max_age",
        )

    def at(self, time_ns: int) -> np.ndarray | None:
        """See ActionSource."""
        sample = self.stream.latest_at(time_ns)
        return None if sample is None else np.array(sample.value, dtype=np.float64)  # (A,)

    def is_settled(self, time_ns: int, now_ns: int) -> bool:
        """Once the leader was heard of after that time, or too long ago."""
        newest = self.stream.newest_stamp_ns
        passed = newest is not None and newest >= time_ns
        return passed or now_ns - time_ns > PATIENCE * NANOSECONDS

    def is_fresh(self, time_ns: int) -> bool:
        """Whether it is younger than two periods."""
        sample = self.stream.latest_at(time_ns)
        return sample is not None and time_ns - sample.stamp_ns <= self._fresh_ns

    def missing(self, now_ns: int) -> dict[str, str]:
        """See ActionSource."""
        reason = stale_reason(self.stream, now_ns)
        return {} if reason is None else {self.stream.name: reason}

    def clear(self) -> None:
        """See ActionSource."""
        self.stream.clear()

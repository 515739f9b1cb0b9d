# SPDX-License-Identifier: Apache-2.0
"""Starts a policy node whose policy is the episode, and watches it to the end."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from lifecycle_msgs.msg import Transition
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.evaluation.session import (
    LOOKED_ALREADY,
    NodeCommand,
    Session,
    SessionError,
    ros_environment,
    running_nodes,
)
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.policy.episode import RecordedEpisode, write_episode_policy
from dit_policy_ros.ros.common import qos

_THERE = 1e-3  # [rad or m] from the last action, at rest, the episode is over
_SLOWEST = 3.0  # times the expected duration at full speed, and _SPARE [s], are allowed
_SPARE = 30.0


@dataclass(frozen=True, slots=True)
class PlaySettings:
    """How to play.

    Attributes:
        config: parameter file with the robot's contract.
        velocity_scale: fraction of the velocity limits, and of the episode's speed.
        simulate: start the simulated robot, in a ROS domain of its own.
        ros_arguments: of the nodes, as after ``--ros-args``: namespace and remappings.
    """

    config: Path
    velocity_scale: float = 1.0
    simulate: bool = False
    ros_arguments: tuple[str, ...] = ()


def play(
    episode: RecordedEpisode, settings: PlaySettings, folder: Path, report: Callable[[str], None]
) -> float:
    """Move the robot through the episode; returns how long that took [s], with the way to its first pose.

    Args:
        episode: of the contract's joints.
        settings: see there.
        folder: for the nodes' output, and the episode as the policy node reads it.
        report: called with each line for the user.

    Raises:
        SessionError: the policy node refused, held for a reason that does not go away by itself, or ended.
    """
    write_episode_policy(folder / "episode", episode)
    parameters = {
        "checkpoint": str((folder / "episode").absolute()),
        "task": episode.task,
        "inference": "process",
        "pacing": "stop_and_go",  # the whole episode is one chunk
        "velocity_scale": str(settings.velocity_scale),
        "actions_are": "commands",  # what was commanded is commanded again
        "takeover.source": "none",
    }
    given = settings.ros_arguments
    commands = {"policy": NodeCommand("policy.policy_node", parameters, settings.config, given)}
    if settings.simulate:
        simulated = {**LOOKED_ALREADY, "cameras": "[top]"}
        commands["sim"] = NodeCommand("sim.sim_node", simulated, ros_arguments=given)
    with (
        _environment(settings.simulate, folder) as environment,
        running_nodes(environment, folder, commands, given) as session,
    ):
        return _Player(session, episode, settings.velocity_scale, report).run()


@contextlib.contextmanager
def _environment(simulate: bool, folder: Path) -> Iterator[Mapping[str, str]]:
    """That of the simulator's own ROS domain, or the user's."""
    if simulate:
        with ros_environment(folder) as environment:
            yield environment
        return
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield dict(os.environ)
    finally:
        rclpy.try_shutdown()


class _Player:
    """Takes the policy node through its transitions and watches what it commands."""

    def __init__(
        self, session: Session, episode: RecordedEpisode, scale: float, report: Callable[[str], None]
    ) -> None:
        self._session, self._episode, self._report = session, episode, report
        self._scale = scale
        self._status: PolicyStatus | None = None
        self._ends_at = float("inf")  # [s] steady: not earlier
        self._is_there = False
        node = session.node
        node.create_subscription(PolicyStatus, "policy/status", self._on_status, qos.STATUS)
        node.create_subscription(JointTrajectory, "policy/chunk", self._on_chunk, qos.STATUS)
        node.create_subscription(JointState, "policy/commanded", self._on_commanded, qos.STATUS)

    def run(self) -> float:
        self._session.change_state(Transition.TRANSITION_CONFIGURE)
        self._session.change_state(Transition.TRANSITION_ACTIVATE)
        began = time.monotonic()
        self._report("the arms move slowly to the episode's first pose, then through its actions")
        rows = len(self._episode.actions) + self._episode.approach_rows
        longest = _SLOWEST * rows / self._episode.fps / self._scale + _SPARE  # [s]
        if not self._session.spin_until(self._is_over, longest):
            raise SessionError(f"the episode was not over within {longest:.0f} s")
        took = time.monotonic() - began
        self._session.change_state(Transition.TRANSITION_DEACTIVATE)
        return took

    def _is_over(self) -> bool:
        status = self._status
        if status is not None and status.state == PolicyStatus.HOLD and not status.hold_recoverable:
            raise SessionError(f"the policy node holds: {status.hold_reason}")
        return self._is_there and time.monotonic() > self._ends_at

    def _on_status(self, message: PolicyStatus) -> None:
        before, self._status = self._status, message
        if message.state == PolicyStatus.HOLD and (before is None or before.state != message.state):
            self._report(f"HOLD: {message.hold_reason}")

    def _on_chunk(self, message: JointTrajectory) -> None:
        """The rows until the last action say how long the motion takes at least."""
        rows = np.array([point.positions for point in message.points])  # (H, A)
        moving = np.flatnonzero((np.abs(rows - rows[-1]) > _THERE).any(axis=1))
        seconds = (int(moving[-1]) + 1 if len(moving) else 0) / self._episode.fps
        self._ends_at = time.monotonic() + 0.8 * seconds / self._scale  # late motion may catch up

    def _on_commanded(self, message: JointState) -> None:
        away = np.abs(np.array(message.position) - self._episode.actions[-1])  # (A,)
        self._is_there = bool((away < _THERE).all()) and not np.any(message.velocity)

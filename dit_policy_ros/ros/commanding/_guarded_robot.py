# SPDX-License-Identifier: Apache-2.0
"""A robot for another program's control loop: our streams to observe, our motion path to command."""

import contextlib
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.logging import get_logger
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.errors import DitPolicyError, ParameterError, StaleObservation, StreamError
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.commanding._command_node import TASK, CommandNode
from dit_policy_ros.ros.commanding._motion_process import MotionProcess, policy_node_command
from dit_policy_ros.ros.commanding._spinning import spinning
from dit_policy_ros.ros.images import read_camera_image
from dit_policy_ros.ros.inference_protocol import inference_node_name

_STREAMS_WITHIN = 20.0  # [s] until every stream has come
_STARTS_WITHIN = 30.0  # [s] from the activation until the arms can be commanded
_THREADS = 3
_POLL = 0.005  # [s]
_FIXED = ("inference", "task", "dry_run", "follow_parent", "use_sim_time")
"""Parameters of the policy node without which the arms would not follow, or not hold with this process."""
_LINK_TIMEOUT = 0.5  # [s] without a sign of life from this process the arms hold
_BEYOND, _BEYOND_PRISMATIC = 0.05, 0.005  # [rad], [m] so far outside the limits a command is reported


@dataclass(frozen=True, slots=True)
class CommandSettings:
    """How a program commands a robot.

    Attributes:
        config: parameter file with the contract.
        cameras: names of those that are read; empty for all.
        namespace: of the robot's topics, e.g. "left_cell"; empty for none.
        node: name of the policy node that moves the robot.
        use_sim_time: whether the robot's time is simulated.
        delay: from a command to its execution [s]. Without one the arms are as late, because a plan that does
            not know the way ahead ends at rest, and they follow less exactly.
        silence: without a command for this long the arms hold [s].
        wait: how long an observation may take that is stale at first [s].
        parameters: further ones of the policy node, as text, by name.
    """

    config: Path
    cameras: tuple[str, ...] = ()
    namespace: str = ""
    node: str = "lerobot"
    use_sim_time: bool = False
    delay: float = 0.2
    silence: float = 1.0
    wait: float = 2.0
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the times and the parameters. Raises ParameterError."""
        least = {"delay": 0.0, "silence": 0.05, "wait": 0.0}
        for name, low in least.items():
            value = getattr(self, name)
            if not low <= value < math.inf:  # also if it is NaN
                raise ParameterError(f"{name}: expected {low:g} or more [s], got {value:g}")
        if fixed := [name for name in _FIXED if name in self.parameters]:
            raise ParameterError(
                f"parameters: expected none of {', '.join(_FIXED)}, which this robot sets itself, got "
                f"{', '.join(fixed)}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class RobotState:
    """One observation.

    Attributes:
        stamp_ns: its time [ns].
        joints: (A,) [rad or m], in contract order.
        images: RGB uint8 (H, W, 3) by camera.
    """

    stamp_ns: int
    joints: NDArray[np.float64]
    images: dict[str, NDArray[np.uint8]]


class GuardedRobot:
    """Connects to a robot, observes and commands it. Not thread-safe, except for ``close``."""

    def __init__(self, contract: Contract, settings: CommandSettings) -> None:
        """Do nothing yet.

        Args:
            contract: of the robot, as in ``settings.config``.
            settings: see there.
        """
        self.contract, self.settings = contract, settings
        self.cameras = settings.cameras or contract.camera_names
        self._namespace = settings.namespace.strip("/")
        self._name = f"{self._namespace}/{settings.node}".lstrip("/")  # of the policy node
        self._node: CommandNode | None = None
        self._motion: MotionProcess | None = None
        self._release = contextlib.ExitStack()
        self._decoded: dict[str, tuple[int, NDArray[np.uint8]]] = {}  # by camera, with the stamp [ns]
        self._observed_ns: int | None = None  # stamp of the newest observation
        self._hold = ""  # that was reported last
        self._beyond: frozenset[str] = frozenset()  # joints that were sent outside their limits
        self._logger = get_logger("dit_policy_ros.robot")

    @property
    def connected(self) -> bool:
        """Whether the robot can be observed and commanded."""
        return self._motion is not None and self._motion.alive

    @property
    def hold_reason(self) -> str:
        """Why the arms hold; empty if they do not."""
        return self._hold

    @property
    def lead(self) -> float:
        """From the newest observation to the execution of the next command [s].

        Commands are executed later than they are given, one after the other. A policy must begin with the
        action for that time: an earlier one would lead the arms back. It is 0 for arms that stand.
        """
        if self._node is None or self._observed_ns is None or (newest_ns := self._node.newest_ns) is None:
            return 0.0
        next_ns = newest_ns + self.contract.dt_ns + round(self.settings.delay * NANOSECONDS)
        return max(0, next_ns - self._observed_ns) / NANOSECONDS

    @property
    def observed(self) -> float | None:
        """Time of the newest observation [s]; None before the first one."""
        return None if self._observed_ns is None else self._observed_ns / NANOSECONDS

    @property
    def motion(self) -> MotionProcess | None:
        """The process that moves the robot, while connected."""
        return self._motion

    def connect(self) -> None:
        """Subscribe, start the policy node, and let it check the robot.

        Raises:
            DitPolicyError: it is connected already.
            StreamError: a stream does not come.
            MotionError: the policy node refuses, with its reasons.
        """
        settings = self.settings
        if self.connected:
            raise DitPolicyError("the robot is connected already")
        self.close()  # what is left with a policy node that has ended: it would answer for the new one
        with contextlib.ExitStack() as stack:
            context = Context()
            rclpy.init(context=context, args=[], signal_handler_options=SignalHandlerOptions.NO)
            stack.callback(context.try_shutdown)
            node = CommandNode(
                inference_node_name(settings.node),
                self.contract,
                self.cameras,
                settings.delay,
                settings.silence,
                namespace=self._namespace,
                context=context,
                use_global_arguments=False,
                parameter_overrides=[Parameter("use_sim_time", value=settings.use_sim_time)],
            )
            stack.callback(node.destroy_node)
            stack.enter_context(spinning(node, context, _THREADS))
            deadline = time.monotonic() + _STREAMS_WITHIN
            while missing := self._missing(node):
                if time.monotonic() > deadline:
                    raise StreamError(
                        f"the robot is not there: {'; '.join(missing)}. Is it running, in this ROS domain?"
                    )
                time.sleep(_POLL)
            motion = MotionProcess(node, self._name, self._command(), os.environ | {"PYTHONUNBUFFERED": "1"})
            stack.callback(motion.close)  # first: it holds while everything is still there
            motion.on_status = self._on_status
            motion.bring_up()
            if not motion.wait_for(lambda: _is_running(motion.status), _STARTS_WITHIN):
                status = motion.status
                raise StreamError(f"the arms hold: {'' if status is None else status.hold_reason}")
            self._node, self._motion, self._release = node, motion, stack.pop_all()

    def observe(self) -> RobotState:
        """The newest complete observation. Waits while a stream is stale.

        Raises:
            StreamError: a stream is still stale after ``settings.wait``, or an image cannot be decoded.
            MotionError: the policy node has ended.
        """
        node, motion = self._connected()
        builder, deadline = _sensors(node).observations, time.monotonic() + self.settings.wait
        while True:
            motion.check()
            try:
                observation = builder.build(node.get_clock().now().nanoseconds)
                break
            except StaleObservation as error:
                if time.monotonic() > deadline:
                    raise StreamError(f"no observation for {self.settings.wait:g} s: {error}") from error
            time.sleep(_POLL)
        self._observed_ns = observation.stamp_ns
        images = {
            name: self._image(name, observation.image_stamps_ns[name][-1], messages[-1])
            for name, messages in observation.images.items()
        }
        return RobotState(observation.stamp_ns, np.array(observation.state[-1]), images)

    def command(self, pose: NDArray[np.float64]) -> NDArray[np.float64]:
        """Send the joints to a pose (A,) [rad or m]; returns it within the position limits.

        Far outside them it is reported, once until it is inside again: its units may be others.

        Raises:
            StreamError: it is not finite; the arms hold.
            MotionError: the policy node has ended.
            ValueError: it has not one value for each joint.
        """
        if np.shape(pose) != (count := len(self.contract.joints),):
            raise ValueError(f"a pose has one value for each of the {count} joints, got {np.shape(pose)}")
        node, motion = self._connected()
        motion.check()
        if not np.isfinite(pose).all():
            bad = [
                joint
                for joint, value in zip(self.contract.joints, pose, strict=True)
                if not np.isfinite(value)
            ]
            self.refuse(f"a command is not finite (NaN or infinite) for {', '.join(bad)}")
        limits = self.contract.limits
        allowed = np.clip(pose, limits.position_min, limits.position_max)
        self._report_beyond(np.asarray(pose, np.float64), allowed)
        node.command(allowed)
        return allowed

    def refuse(self, problem: str) -> NoReturn:
        """Let the arms hold until an operator calls resume, because of what the program asked for.

        Raises:
            StreamError: always, with the problem.
        """
        self._connected()[0].refuse(problem)
        raise StreamError(f"{problem}; the arms hold")

    def close(self) -> None:
        """Let the arms hold, and end everything."""
        self._node = self._motion = self._observed_ns = None
        self._hold, self._beyond = "", frozenset()
        self._decoded.clear()
        release, self._release = self._release, contextlib.ExitStack()
        release.close()

    def _command(self) -> list[str]:
        settings, period = self.settings, self.contract.dt
        given = {
            "inference": "external",
            "task": TASK,
            "ensemble.mode": "newest",
            "pacing": "continuous",
            "fade_knots": "1",
            "replan_interval": f"{period:.6f}",
            "link_timeout": f"{_LINK_TIMEOUT:g}",
            "actions_are": "commands",  # what the program sends is what the arms are to reach
            "dry_run": "false",
            "use_sim_time": str(settings.use_sim_time).lower(),
        }
        return policy_node_command(
            settings.config, settings.node, self._namespace, given | dict(settings.parameters)
        )

    def _connected(self) -> tuple[CommandNode, MotionProcess]:
        if self._node is None or self._motion is None:
            raise DitPolicyError("the robot is not connected: call connect first")
        return self._node, self._motion

    def _missing(self, node: CommandNode) -> list[str]:
        """The streams that have not come yet, with what is known about them."""
        stale = _sensors(node).observations.stale(node.get_clock().now().nanoseconds)
        return list(stale.values())

    def _image(self, name: str, stamp_ns: int, message: Any) -> NDArray[np.uint8]:
        """An image (H, W, 3), decoded once."""
        known = self._decoded.get(name)
        if known is None or known[0] != stamp_ns:
            camera = self.contract.camera(name)
            known = self._decoded[name] = stamp_ns, read_camera_image(message, camera)
        return known[1].copy()

    def _report_beyond(self, pose: NDArray[np.float64], allowed: NDArray[np.float64]) -> None:
        """Say it when a joint is sent far outside its limits; both (A,)."""
        edge = np.where(self.contract.limits.prismatic, _BEYOND_PRISMATIC, _BEYOND)  # (A,)
        outside = np.flatnonzero(np.abs(pose - allowed) > edge)
        beyond = frozenset(self.contract.joints[index] for index in outside)
        if new := [index for index in outside if self.contract.joints[index] not in self._beyond]:
            sent = [f"{self.contract.joints[i]} to {pose[i]:.4g}, limited to {allowed[i]:.4g}" for i in new]
            self._logger.warning(
                f"commands outside the position limits [rad or m]: {'; '.join(sent)}. If this goes on, their "
                f"units may be others"
            )
        self._beyond = beyond

    def _on_status(self, status: PolicyStatus) -> None:
        """Say it once when the arms begin to hold, and when they move again."""
        reason = (status.hold_reason or "for an unknown reason") if status.state == PolicyStatus.HOLD else ""
        if reason and not self._hold:
            remedy = (
                "they move again when the cause is gone"
                if status.hold_recoverable
                else f"call /{self._name}/resume when the cause is gone"
            )
            self._logger.warning(f"the arms hold: {reason}; {remedy}")
        elif self._hold and not reason:
            self._logger.info("the arms follow the commands again")
        self._hold = reason


def _sensors(node: CommandNode) -> Any:
    if node.sensors is None:
        raise ValueError("the node has no streams")
    return node.sensors


def _is_running(status: PolicyStatus | None) -> bool:
    return status is not None and status.state == PolicyStatus.RUNNING

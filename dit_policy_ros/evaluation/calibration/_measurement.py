# SPDX-License-Identifier: Apache-2.0
"""Moves each arm gently, through a policy node of its own, and records what happens."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rclpy
from lifecycle_msgs.msg import Transition
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from dit_policy_ros.core.calibration import ImageMotion, JointMotion, Wiggle, WiggleSettings, plan_wiggle
from dit_policy_ros.core.child_processes import start
from dit_policy_ros.core.contract import NANOSECONDS, Contract, ControllerType
from dit_policy_ros.core.errors import CalibrationError
from dit_policy_ros.evaluation.session import STOPS_WITHIN, Session
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.calibration import CalibrationRecorder, WiggleNode
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.inference_protocol import inference_node_name
from dit_policy_ros.ros.survey import spinning

_NODE = "calibration"  # name of the policy node that moves the arms
_MARGIN = 1.0  # [s] recorded before and after a motion
_SETTLES = 2.0  # [s] before a motion: the soft start, after an activation or a hold
_ATTEMPTS = 8  # at one motion, if the arms hold meanwhile and resume by themselves
_RUNS_WITHIN = 20.0  # [s] from the activation to the first plan
_STATE_WITHIN = 20.0  # [s] for the first joint states
_STATUS_WITHIN = 2.0  # [s] without a status the policy node is lost
_QUEUED = 20  # messages that may wait for us: statuses, services, parameter events
_PARAMETERS = {
    "inference": "external",
    "task": "calibrate",
    "ensemble.mode": "newest",
    "pacing": "continuous",
    "incident_seconds": "0.0",
    "link_timeout": "2.0",  # the program also watches cameras; without chunks a plan ends at rest anyway
    "soft_start": "1.0",
    "dry_run": "false",
    "actions_are": "commands",  # what is commanded is measured, so nothing is sent earlier
}


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """What to measure.

    Attributes:
        config: parameter file of the robot.
        controllers: names of those whose arms move; empty for all joint_trajectory_controllers of arms.
        cameras: names of those to measure; empty for all.
        motion: how far and how long an arm moves.
        namespace: of the robot's topics.
        use_sim_time: whether the robot's time is simulated.
    """

    config: Path
    controllers: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    motion: WiggleSettings = field(default_factory=WiggleSettings)
    namespace: str = "/"
    use_sim_time: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """What was recorded while one controller's arm moved; times are in seconds since the recording began.

    Attributes:
        controller: its name.
        joints: names of the joints that moved, in the order of the columns.
        commanded, measured: positions of these joints.
        seen: image motion, by camera.
        problems: why a camera has none, by camera.
    """

    controller: str
    joints: tuple[str, ...]
    commanded: JointMotion
    measured: JointMotion
    seen: dict[str, ImageMotion] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def arms(contract: Contract, names: Sequence[str]) -> list[str]:
    """The controllers whose arms are to move.

    Raises:
        CalibrationError: a name that is none of them, or there is none.
    """
    movable = [
        each.name
        for each in contract.controllers
        if each.type is ControllerType.JOINT_TRAJECTORY and not each.gripper
    ]
    unknown = [name for name in names if name not in movable]
    if unknown or not movable:
        raise CalibrationError(
            f"expected controllers of arms ({', '.join(movable) or 'the contract has none'}), got "
            f"{', '.join(unknown) or 'none'}"
        )
    return list(names) or movable


def planned_motions(contract: Contract, settings: CalibrationSettings) -> list[str]:
    """For the operator: what each arm will do at most, one line each. Raises CalibrationError."""
    motion, lines = settings.motion, []
    middle = np.where(
        contract.limits.continuous, 0.0, (contract.limits.position_min + contract.limits.position_max) / 2.0
    )  # (A,) where nothing limits the motion
    for name in arms(contract, settings.controllers):
        wiggle = plan_wiggle(contract, name, middle, motion)
        lines.append(
            f"{name}: each joint by up to {wiggle.amplitude.max():.3g} rad (or m) to both sides of where it "
            f"is now, at up to {wiggle.peak_velocity.max():.2g} rad/s, for {motion.duration:g} s"
        )
    return lines


def calibrate(
    contract: Contract, settings: CalibrationSettings, logs: Path, report: Callable[[str], None]
) -> list[Measurement]:
    """Move each arm and record. rclpy must not be initialised; the robot is in this process's ROS domain.

    Args:
        contract: of the robot, as in ``settings.config``.
        settings: what to measure.
        logs: folder for the policy node's output.
        report: gets what happens, for the operator.

    Raises:
        CalibrationError: the arms held, or the recording failed.
        SessionError: the policy node refused to start, with its reasons.
    """
    controllers, cameras = arms(contract, settings.controllers), settings.cameras or contract.camera_names
    keep = settings.motion.duration + 4.0 * _MARGIN  # [s]
    with _nodes(contract, settings, logs) as (session, wiggler):
        recorder = CalibrationRecorder(wiggler, contract, cameras, keep)
        wiggler.joints = recorder.sensors.observations.joints
        run = _Run(session, wiggler, settings, report)
        run.bring_up()
        found = []
        try:
            for name in controllers:
                found.append(run.measure(contract, name, recorder))
        finally:
            run.end()
        return found


@contextlib.contextmanager
def _nodes(
    contract: Contract, settings: CalibrationSettings, logs: Path
) -> Iterator[tuple[Session, WiggleNode]]:
    """The policy node as a child, our node that gives it its chunks (spinning), and a session to watch it."""
    prefix, name = settings.namespace.strip("/"), f"{settings.namespace.strip('/')}/{_NODE}".lstrip("/")
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    with contextlib.ExitStack() as stack:
        stack.callback(rclpy.try_shutdown)
        simulated = Parameter("use_sim_time", value=settings.use_sim_time)
        options = {"namespace": prefix, "use_global_arguments": False, "parameter_overrides": [simulated]}
        wiggler = WiggleNode(inference_node_name(_NODE), contract, **options)
        stack.callback(wiggler.destroy_node)
        stack.enter_context(spinning(wiggler))
        watcher = Node(f"{_NODE}_watch", **options)
        stack.callback(watcher.destroy_node)
        executor = SingleThreadedExecutor()
        executor.add_node(watcher)
        stack.callback(executor.shutdown)
        given = {**_PARAMETERS, "use_sim_time": str(settings.use_sim_time).lower()}
        arguments = [part for key, text in given.items() for part in ("-p", f"{key}:={text}")]
        arguments += ["-r", f"__node:={_NODE}", *(["-r", f"__ns:=/{prefix}"] if prefix else [])]
        module = "dit_policy_ros.ros.policy.policy_node"
        command = [
            sys.executable,
            "-m",
            module,
            "--ros-args",
            "--params-file",
            str(settings.config),
            *arguments,
        ]
        child = start(name, command, {**os.environ, "PYTHONUNBUFFERED": "1"}, logs / "policy_node.log")
        stack.callback(child.stop, STOPS_WITHIN)  # first: it brakes while everything is still there
        yield Session(watcher, executor, (child,)), wiggler


class _Run:
    """Takes the policy node through its transitions and watches its state."""

    def __init__(
        self,
        session: Session,
        wiggler: WiggleNode,
        settings: CalibrationSettings,
        report: Callable[[str], None],
    ) -> None:
        self._session, self._wiggler, self._settings, self._report = session, wiggler, settings, report
        self._name = session.children[0].name
        self._status: PolicyStatus | None = None
        self._heard = time.monotonic()  # [s] steady: the newest status, or when we began to listen
        session.node.create_subscription(PolicyStatus, f"/{self._name}/status", self._on_status, qos.STATUS)

    def bring_up(self) -> None:
        """Configure and activate; the arms stand where they are afterwards."""
        session, joints = self._session, self._wiggler.joints
        if not session.spin_until(
            lambda: joints is not None and joints.newest_stamp_ns is not None, _STATE_WITHIN
        ):
            topic = "" if joints is None else joints.topic
            raise CalibrationError(
                f"no joint states came on {topic}: is the robot running, in this ROS domain?"
            )
        session.change_state(Transition.TRANSITION_CONFIGURE, self._name)
        session.change_state(Transition.TRANSITION_ACTIVATE, self._name)
        self._heard, self._status = time.monotonic(), None  # what was heard before does not count
        if not session.spin_until(self._is_running, _RUNS_WITHIN):
            raise CalibrationError(
                f"the arms do not start to move: {self._hold_reason() or 'no plan was made'}"
            )

    def measure(self, contract: Contract, controller: str, recorder: CalibrationRecorder) -> Measurement:
        """Move one arm and return what was recorded."""
        motion = plan_wiggle(contract, controller, self._wiggler.pose, self._settings.motion)
        begin_ns = self._moved(controller, motion)
        first_ns = begin_ns - round(_MARGIN * NANOSECONDS)
        last_ns = begin_ns + round((motion.duration + _MARGIN) * NANOSECONDS)
        columns = np.flatnonzero(motion.amplitude)  # (J,)
        joints = tuple(contract.joints[column] for column in columns)
        own = [contract.controller(controller).joints.index(joint) for joint in joints]
        commanded = recorder.commanded(controller, first_ns, last_ns)
        seen, problems = {}, {}
        for camera in recorder.images:
            try:
                seen[camera] = recorder.seen(camera, first_ns, last_ns)
            except CalibrationError as error:
                problems[camera] = str(error)
        return Measurement(
            controller=controller,
            joints=joints,
            commanded=JointMotion(commanded.times, commanded.positions[:, own]),
            measured=recorder.measured(columns, first_ns, last_ns),
            seen=seen,
            problems=problems,
        )

    def _moved(self, controller: str, motion: Wiggle) -> int:
        """Make the motion, again if the arms held and went on by themselves; returns its beginning [ns].

        Raises CalibrationError when they hold for good, or when the policy node is silent: then nobody knows
        whether the motion was made.
        """
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                self._wait(_SETTLES)
                self._report(f"{controller} moves for {motion.duration:g} s")
                begin_ns = self._wiggler.begin(motion, _MARGIN)
                self._wait(motion.duration + 2.0 * _MARGIN)
                return begin_ns
            except CalibrationError as held:
                status = self._status
                is_silent = bool(self._silence())
                if is_silent or not attempts_left or status is None or not status.hold_recoverable:
                    raise
                self._report(f"{held}. Once more")
            self._wiggler.stand()
            if not self._session.spin_until(self._is_running, _RUNS_WITHIN):
                raise CalibrationError(f"the arms still hold: {self._hold_reason()}")
        raise ValueError("there is at least one attempt")

    def end(self) -> None:
        """Let the arms hold. A node that is silent would not answer for long; it is ended soon anyway."""
        if self._session.children[0].alive and not self._silence():
            self._session.change_state(Transition.TRANSITION_DEACTIVATE, self._name)

    def _wait(self, seconds: float) -> None:
        """Wait, by the robot's clock, until the policy node has said that all went well.

        Raises CalibrationError when the arms hold, or when the policy node is silent.
        """
        clock = self._wiggler.get_clock()
        end_ns = clock.now().nanoseconds + round(seconds * NANOSECONDS)
        ended = float("inf")  # [s] steady, when the time was over

        def over() -> bool:
            nonlocal ended
            if reason := self._hold_reason():
                raise CalibrationError(f"the arms hold, so nothing was measured: {reason}")
            if silence := self._silence():
                raise CalibrationError(f"{silence}, so nothing was measured")
            if clock.now().nanoseconds >= end_ns:
                ended = min(ended, time.monotonic())
            return self._heard > ended

        if not self._session.spin_until(over, 10.0 * seconds + _STATUS_WITHIN):
            raise CalibrationError("simulated time stands still")

    def _silence(self) -> str:
        """How long the policy node has been silent, if that is too long; empty if it is not."""
        for _ in range(_QUEUED):
            if time.monotonic() - self._heard <= _STATUS_WITHIN:
                return ""
            self._session.spin_once()  # maybe it was this program that was stopped: what came is waiting
        silent = time.monotonic() - self._heard  # [s]
        return f"the policy node has sent no status for {silent:.1f} s: it hangs, or its computer does"

    def _is_running(self) -> bool:
        if silence := self._silence():
            raise CalibrationError(silence)
        return self._status is not None and self._status.state == PolicyStatus.RUNNING

    def _hold_reason(self) -> str:
        status = self._status
        if status is None or status.state != PolicyStatus.HOLD:
            return ""
        return status.hold_reason or "for an unknown reason"

    def _on_status(self, status: PolicyStatus) -> None:
        self._status, self._heard = status, time.monotonic()

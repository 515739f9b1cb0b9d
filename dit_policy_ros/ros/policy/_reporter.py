# SPDX-License-Identifier: Apache-2.0
"""All that tells people and programs what the policy node does: status, diagnostics, plots, incidents."""

import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import IncidentError
from dit_policy_ros.core.incidents import IncidentRing
from dit_policy_ros.core.motion import Chunk, MotionState
from dit_policy_ros.core.policy_interface import IdleDetector, Policy, TaskReaction
from dit_policy_ros.core.share import package_version
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import EventLog, SensorStreams, Severity, qos, steady_timer, to_stamp
from dit_policy_ros.ros.policy._control_watch import ControlWatch
from dit_policy_ros.ros.policy._diagnostics import PolicyHealth, StreamHealth
from dit_policy_ros.ros.policy._incident_writer import IncidentWriter, default_directory
from dit_policy_ros.ros.policy._inference_worker import InferenceFigures
from dit_policy_ros.ros.policy._motion_gate import MotionGate
from dit_policy_ros.ros.policy._parameters import idle_motion
from dit_policy_ros.ros.policy._shadow import Shadow
from dit_policy_ros.ros.policy._status import policy_status

STATUS_RATE = 10.0  # [Hz]
DIAGNOSTICS_RATE = 1.0  # [Hz]


@dataclass(slots=True)
class _Configured:
    """What exists between configure and cleanup."""

    contract: Contract
    settings: dict[str, Any]
    policy: Policy
    motion: MotionGate
    writer: IncidentWriter
    shadow: Shadow | None
    idle: IdleDetector
    reaction: TaskReaction
    streams: StreamHealth
    health: PolicyHealth
    idle_seconds: float = 0.0


@dataclass(slots=True)
class _Active:
    """What exists while the node is active."""

    figures: InferenceFigures
    watch: ControlWatch
    holds: int = 0  # that were noticed
    e_stop: bool = False


class PolicyReporter:
    """Publishes ~/status, ~/commanded, ~/shadow/error and /diagnostics; serves ~/save_incident."""

    def __init__(
        self, node: Node, group: CallbackGroup, task: Callable[[], str], e_stop: Callable[[], bool]
    ) -> None:
        """Begin to publish; task and e_stop give what is in force."""
        self._node, self._task, self._e_stop = node, task, e_stop
        self._configured: _Configured | None = None
        self._active: _Active | None = None
        self.events = EventLog(node.get_logger(), time.monotonic_ns)
        self._status = node.create_publisher(PolicyStatus, "~/status", qos.STATUS)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        self._commanded = node.create_publisher(JointState, "~/commanded", qos.STATUS)
        node.create_service(Trigger, "~/save_incident", self._on_save, callback_group=group)
        steady_timer(node, STATUS_RATE, self._publish_status, group)
        steady_timer(node, DIAGNOSTICS_RATE, self._publish_diagnostics, group)

    # --- what the node tells ------------------------------------------------------------------------------

    def open(
        self,
        contract: Contract,
        settings: dict[str, Any],
        policy: Policy,
        sensors: SensorStreams,
        motion: MotionGate,
        ring: IncidentRing,
    ) -> None:
        """The node was configured."""
        directory = Path(settings["incident_directory"] or default_directory()).expanduser()
        writer = IncidentWriter(
            ring,
            directory,
            settings["incident_seconds"],
            self._facts,
            time.monotonic_ns,
            self._node.get_logger(),
        )
        self._configured = _Configured(
            contract,
            settings,
            policy,
            motion,
            writer,
            Shadow(self._node, sensors, contract) if settings["dry_run"] else None,
            IdleDetector(idle_motion(settings, contract)),
            TaskReaction(~contract.gripper_mask),
            StreamHealth(contract, sensors.observations),
            PolicyHealth(contract.robot_type, settings, contract.dt, policy.known_tasks),
        )

    def activate(self, figures: InferenceFigures, watch: ControlWatch) -> None:
        """The node is active from now on."""
        if self._configured is not None:
            self._configured.idle.reset()
            self._active = _Active(figures, watch, self._configured.motion.pipeline.holds)

    def deactivate(self) -> None:
        """The node ends its activity; a hold that follows is none to report."""
        self._active = None

    def close(self) -> None:
        """The node is cleaned up; waits for incidents that are being written."""
        if self._configured is not None:
            self._configured.writer.close()
            if self._configured.shadow is not None:
                self._configured.shadow.close()
        self._configured = None

    def chunk(self, chunk: Chunk, task: str) -> None:
        """The policy has made a chunk."""
        if self._configured is not None:
            self._configured.reaction.add(chunk, task)

    def task_changed(self, sentence: str, familiar: bool) -> None:
        """Another task is in force, as the sentence says; familiar: the checkpoint was trained on it."""
        if self._configured is not None:
            self._configured.idle.reset()
        self.events.add(Severity.INFO if familiar else Severity.WARNING, "task", sentence)

    def tick(self) -> None:
        """The control timer has come round."""
        configured, active = self._configured, self._active
        if configured is None or active is None:
            return
        now_ns = self._now_ns()
        positions, velocities = configured.motion.pipeline.plan.sample(np.array([now_ns]))  # (1, A) both
        if configured.motion.state is MotionState.RUNNING:
            configured.idle_seconds = configured.idle.update(positions[0], time.monotonic_ns())
        else:
            configured.idle.reset()
            configured.idle_seconds = 0.0
        if self._commanded.get_subscription_count():
            message = JointState(name=list(configured.contract.joints))
            message.header.stamp = to_stamp(now_ns)
            message.position, message.velocity = positions[0].tolist(), velocities[0].tolist()
            self._commanded.publish(message)
        if configured.shadow is not None:
            configured.shadow.compare(positions[0], now_ns)
        self._notice_incidents(configured, active)

    # --- what it makes of it ------------------------------------------------------------------------------

    def _notice_incidents(self, configured: _Configured, active: _Active) -> None:
        holds, e_stop = configured.motion.pipeline.holds, self._e_stop()
        held, stopped = holds != active.holds, e_stop and not active.e_stop
        active.holds, active.e_stop = holds, e_stop
        if held or stopped:
            reason = configured.motion.pipeline.hold_reason or "a hold that is over already"
            values = {"task": self._task(), "e_stop": e_stop, "recoverable": configured.motion.recoverable}
            self.events.remember(Severity.ERROR, "hold", reason, **values)  # the motion has logged it
            configured.writer.capture("e-stop" if stopped else reason)

    def _message(self) -> PolicyStatus:
        configured, active = self._configured, self._active
        message = policy_status(
            self._now_ns(),
            time.monotonic_ns(),
            self._task(),
            self._e_stop(),
            configured.policy if configured else None,
            configured.motion if configured and active else None,
            active.figures if active else None,
            active.watch if active else None,
        )
        if configured is not None:
            known = configured.policy.known_tasks
            message.known_task = not known or message.task in known
            message.dry_run = configured.settings["dry_run"]
            message.idle = configured.idle_seconds if message.state == PolicyStatus.RUNNING else 0.0
            message.incidents = configured.writer.written
            message.last_incident = str(configured.writer.newest or "")
            if configured.shadow is not None and active is not None:
                message.shadow_error = configured.shadow.rms
        return message

    def _publish_status(self) -> None:
        self._status.publish(self._message())

    def _publish_diagnostics(self) -> None:
        configured, status = self._configured, self._message()
        prefix = self._node.get_fully_qualified_name().lstrip("/")
        if configured is None:
            entries = PolicyHealth("", {}, 0.0, ()).report(prefix, status, TaskReaction(np.zeros(0, bool)))
        else:
            limited = configured.motion.pipeline.most_limited()
            entries = configured.health.report(prefix, status, configured.reaction, limited)
            entries += configured.streams.report(prefix, self._now_ns(), time.monotonic_ns())
        message = DiagnosticArray(status=entries)
        message.header.stamp = status.stamp
        self._diagnostics.publish(message)
        if configured is not None and status.idle >= configured.settings["idle_time"]:
            self.events.add(
                Severity.WARNING,
                "idle",
                "nothing has been commanded to move: the task is done, or the policy's output has collapsed",
                task=status.task,
                seconds=round(status.idle, 1),
            )

    def _on_save(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if (configured := self._configured) is None:
            response.message = "the policy node is not configured: nothing has happened yet"
            return response
        try:
            response.message = str(configured.writer.save())
        except IncidentError as error:
            response.message = str(error)
        else:
            response.success = True
        return response

    def _facts(self) -> dict[str, Any]:
        """What an incident notes about the node."""
        configured, status = self._configured, self._message()
        fields = {name: getattr(status, name) for name in status.get_fields_and_field_types()}
        fields["stamp"] = self._now_ns()
        contract = None if configured is None else configured.contract
        return {
            "version": package_version(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "machine": platform.machine(),
            "robot_type": "" if contract is None else contract.robot_type,
            "joints": [] if contract is None else list(contract.joints),
            "controllers": {} if contract is None else {c.name: list(c.joints) for c in contract.controllers},
            "parameters": {} if configured is None else dict(configured.settings),
            "policy": "" if configured is None else configured.policy.description,
            "device": "" if configured is None else configured.policy.device,
            "steps": 0 if configured is None else configured.policy.steps,
            # JSON has no NaN: what was never measured is null.
            "status": {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in fields.items()
            },
            "events": self.events.recent(),
        }

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds

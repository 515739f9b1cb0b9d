# SPDX-License-Identifier: Apache-2.0
"""Publishes everything that the policy node reports: status, diagnostics, topics for plots, incidents."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import CallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.errors import IncidentError
from dit_policy_ros.core.motion import Chunk, MotionState
from dit_policy_ros.core.policy_interface import IdleDetector, TaskReaction
from dit_policy_ros.data.incident_folder import default_directory
from dit_policy_ros.msg import ControlState, PolicyStatus
from dit_policy_ros.ros.common import EventLog, Resources, Severity, qos, steady_timer, to_stamp
from dit_policy_ros.ros.controllers import chunk_message, controller_health
from dit_policy_ros.ros.policy._diagnostics import PolicyHealth, StreamHealth
from dit_policy_ros.ros.policy._incident_writer import (
    IncidentSettings,
    IncidentSources,
    IncidentWriter,
    Observe,
)
from dit_policy_ros.ros.policy._node_state import Configured, NodeState
from dit_policy_ros.ros.policy._settings import idle_motion
from dit_policy_ros.ros.policy._shadow import ShadowError
from dit_policy_ros.ros.policy._status import control_key, control_state, incident_facts, policy_status

STATUS_RATE = 10.0  # [Hz]
DIAGNOSTICS_RATE = 1.0  # [Hz]


@dataclass(slots=True)
class _Monitors:
    """What the reporter needs besides the node's state, from configure to cleanup."""

    chunk_publisher: LifecyclePublisher
    writer: IncidentWriter
    shadow: ShadowError | None  # in shadow mode
    idle: IdleDetector
    reaction: TaskReaction
    stream_health: StreamHealth
    policy_health: PolicyHealth
    idle_seconds: float = 0.0
    reported_holds: int = 0
    reported_latched: bool = False
    reported_e_stop: bool = False


class PolicyReporter:
    """Publishes ~/status, ~/control, ~/chunk, ~/commanded and others; serves ~/save_incident."""

    def __init__(self, node: LifecycleNode, group: CallbackGroup, state: NodeState) -> None:
        """Start to publish ~/status and /diagnostics.

        Args:
            node: owns the publishers.
            group: callback group of the timers and of the service.
            state: of the node; read only.
        """
        self._node, self._state = node, state
        self._monitors: _Monitors | None = None
        self.events = EventLog(node.get_logger(), time.monotonic_ns)
        self._status = node.create_publisher(PolicyStatus, "~/status", qos.STATUS)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        self._control = node.create_publisher(ControlState, "~/control", qos.CONTROL)
        self._control_lock = threading.Lock()
        self._controlling = ControlState()  # the newest
        self._commanded = node.create_publisher(JointState, "~/commanded", qos.STATUS)
        node.create_service(Trigger, "~/save_incident", self._on_save_incident, callback_group=group)
        steady_timer(node, STATUS_RATE, self._publish_status, group)
        steady_timer(node, DIAGNOSTICS_RATE, self._publish_diagnostics, group)

    # --- called by the node -------------------------------------------------------------------------------

    def open(self, configured: Configured, resources: Resources, observe: Observe) -> None:
        """Create the monitors, which belong to `resources`; the node has been configured.

        observe: asks for the observations of an incident, see IncidentWriter.
        """
        contract, settings = configured.contract, configured.settings
        directory = Path(settings["incident_directory"] or default_directory()).expanduser()
        writer = IncidentWriter(
            configured.incident_ring,
            IncidentSettings(directory, settings["incident_seconds"]),
            IncidentSources(self._incident_facts, observe, configured.clocks.steady_ns),
            self._node.get_logger(),
        )
        resources.callback(writer.close)
        self._monitors = _Monitors(
            chunk_publisher=self._node.create_lifecycle_publisher(JointTrajectory, "~/chunk", qos.STATUS),
            writer=writer,
            shadow=ShadowError(self._node, configured.sensors, contract) if settings["dry_run"] else None,
            idle=IdleDetector(idle_motion(settings, contract)),
            reaction=TaskReaction(~contract.gripper_mask),
            stream_health=StreamHealth(contract, configured.sensors.observations),
            policy_health=PolicyHealth(
                contract.robot_type, settings, contract.dt, configured.policy.known_tasks
            ),
        )
        resources.callback(self._forget_monitors)

    def activate(self) -> None:
        """Begin anew to watch for idling, holds and e-stops; the node has been activated."""
        if (monitors := self._monitors) is not None:
            monitors.idle.reset()
            monitors.reported_holds = 0  # as motion counts them from its start
            monitors.reported_latched = monitors.reported_e_stop = False

    def on_chunk(self, chunk: Chunk, task: str) -> None:
        """Publish a chunk of the policy on ~/chunk, and compare it with the one before."""
        monitors, configured = self._monitors, self._state.configured
        if monitors is None or configured is None:
            return
        monitors.reaction.add(chunk, task)
        if unseen := configured.link.unseen_state:
            sentence = f"{unseen}: the policy sees the nearest state that it knows"
            self.events.add(Severity.WARNING, "unseen state", sentence)
        # A chunk is large, so it becomes a message only if somebody reads it.
        if self._state.active is not None and monitors.chunk_publisher.get_subscription_count():
            monitors.chunk_publisher.publish(chunk_message(chunk, configured.contract.joints))

    def on_task_changed(self, sentence: str, is_known: bool) -> None:
        """Log the change. is_known: whether the checkpoint was trained on the new task."""
        if self._monitors is not None:
            self._monitors.idle.reset()
        self.events.add(Severity.INFO if is_known else Severity.WARNING, "task", sentence)

    def on_control_tick(self) -> None:
        """Publish ~/commanded and ~/shadow/error; write an incident if the node has begun to hold."""
        monitors, configured, active = self._monitors, self._state.configured, self._state.active
        if monitors is None or configured is None or active is None:
            return
        self._publish_control(is_due=False)
        now_ns = configured.clocks.now_ns()
        positions, velocities = configured.motion.pipeline.plan.sample(np.array([now_ns]))  # (1, A) both
        if configured.motion.state is MotionState.RUNNING:
            monitors.idle_seconds = monitors.idle.update(positions[0], configured.clocks.steady_ns())
        else:
            monitors.idle.reset()
            monitors.idle_seconds = 0.0
        if self._commanded.get_subscription_count():
            message = JointState(name=list(configured.contract.joints))
            message.header.stamp = to_stamp(now_ns)
            message.position, message.velocity = positions[0].tolist(), velocities[0].tolist()
            self._commanded.publish(message)
        if monitors.shadow is not None:
            monitors.shadow.compare(positions[0], now_ns)
        self.report_holds()

    def report_holds(self) -> None:
        """Write an incident if the node has begun to hold, or if a HOLD has come to need an operator."""
        monitors, configured = self._monitors, self._state.configured
        if monitors is None or configured is None:
            return
        motion, e_stop = configured.motion, self._state.e_stop.latched
        is_latched = motion.state is MotionState.HOLD and not motion.recoverable
        is_new_hold = motion.pipeline.holds != monitors.reported_holds
        is_new_e_stop = e_stop and not monitors.reported_e_stop
        is_new_latch = is_latched and (is_new_hold or is_new_e_stop or not monitors.reported_latched)
        monitors.reported_holds, monitors.reported_e_stop = motion.pipeline.holds, e_stop
        monitors.reported_latched = is_latched
        if is_new_hold or is_new_latch:
            reason = motion.pipeline.hold_reason or "a hold that is over already"
            values = {"task": self._state.task, "e_stop": e_stop, "recoverable": motion.recoverable}
            # The motion gate has logged it.
            self.events.remember(Severity.ERROR, "hold", reason, **values)
            monitors.writer.capture("e-stop" if is_new_e_stop else reason, is_new_latch)

    def finish(self, timeout: float) -> None:
        """Wait until all incidents are written, at most ``timeout`` [s]."""
        if (monitors := self._monitors) is not None:
            monitors.writer.finish(timeout)

    def _forget_monitors(self) -> None:
        self._monitors = None

    # --- reports ------------------------------------------------------------------------------------------

    def _message(self) -> PolicyStatus:
        message = policy_status(self._state, self._now_ns(), time.monotonic_ns())
        if (monitors := self._monitors) is not None:
            message.idle = monitors.idle_seconds if message.state == PolicyStatus.RUNNING else 0.0
            message.incidents = monitors.writer.written
            message.last_incident = str(monitors.writer.newest or "")
            if monitors.shadow is not None and self._state.active is not None:
                message.shadow_error = monitors.shadow.rms
        return message

    def _publish_status(self) -> None:
        self._status.publish(self._message())
        self._publish_control(is_due=True)

    def _publish_control(self, is_due: bool) -> None:
        """Say who drives, if that has changed or is due."""
        with self._control_lock:
            before, now = self._controlling, control_state(self._state, self._now_ns())
            is_same = control_key(before) == control_key(now)
            if is_same:
                now.since = before.since
            if is_due or not is_same:
                self._controlling = now
                self._control.publish(now)

    def _publish_diagnostics(self) -> None:
        monitors, configured, status = self._monitors, self._state.configured, self._message()
        prefix = self._node.get_fully_qualified_name().lstrip("/")
        if monitors is None or configured is None:
            entries = PolicyHealth("", {}, 0.0, ()).report(prefix, status, TaskReaction(np.zeros(0, bool)))
        else:
            motion = configured.motion
            entries = monitors.policy_health.report(
                prefix,
                status,
                monitors.reaction,
                motion.pipeline.most_limited(),
                motion.overdue_chunk(),
                configured.link.unseen_state,
                self._state.familiarity,
            )
            entries += monitors.stream_health.report(prefix, self._now_ns(), time.monotonic_ns())
            if not status.dry_run:
                offset = configured.sensors.observations.joints.clock_offset()
                is_active, now_ns = self._state.active is not None, self._now_ns()
                entries.append(controller_health(prefix, configured.controllers, offset, now_ns, is_active))
        message = DiagnosticArray(status=entries)
        message.header.stamp = status.stamp
        self._diagnostics.publish(message)
        if configured is not None and status.idle >= configured.settings["idle_time"]:
            self.events.add(
                Severity.WARNING,
                "idle",
                "no motion is commanded: either the task is done, or the policy's output has collapsed",
                task=status.task,
                seconds=round(status.idle, 1),
            )

    def _on_save_incident(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if (monitors := self._monitors) is None:
            response.message = "the policy node is not configured: there is nothing to save"
            return response
        try:
            response.message = str(monitors.writer.save())
        except IncidentError as error:
            response.message = str(error)
        else:
            response.success = True
        return response

    def _incident_facts(self) -> dict[str, Any]:
        return incident_facts(self._state.configured, self._message(), self._now_ns(), self.events.recent())

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds

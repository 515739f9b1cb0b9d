# SPDX-License-Identifier: Apache-2.0
"""Describes the node's state: the status message, and the facts that an incident stores."""

import math
import platform
from dataclasses import asdict
from typing import Any

import numpy as np

from dit_policy_ros.core.motion import MotionState
from dit_policy_ros.core.share import package_version
from dit_policy_ros.msg import ControlState, PolicyStatus
from dit_policy_ros.ros.common import to_stamp
from dit_policy_ros.ros.inference_link import InferenceFigures, InferenceLink
from dit_policy_ros.ros.policy._motion_gate import MotionGate
from dit_policy_ros.ros.policy._node_state import Configured, NodeState

_ACTIVE = {
    MotionState.WAITING: PolicyStatus.WAITING,
    MotionState.RUNNING: PolicyStatus.RUNNING,
    MotionState.HOLD: PolicyStatus.HOLD,
    MotionState.INTERVENTION: PolicyStatus.INTERVENTION,
}
_NAMES = {
    PolicyStatus.UNCONFIGURED: "unconfigured",
    PolicyStatus.INACTIVE: "inactive",
    PolicyStatus.WAITING: "waiting",
    PolicyStatus.RUNNING: "running",
    PolicyStatus.HOLD: "hold",
    PolicyStatus.INTERVENTION: "intervention",
    PolicyStatus.HOMING: "homing",
}


def policy_status(state: NodeState, now_ns: int, steady_ns: int) -> PolicyStatus:
    """The message for ~/status, without the fields that the reporter adds (idle, shadow_error, incidents).

    Args:
        state: of the node.
        now_ns: present time of the node's clock [ns].
        steady_ns: present time of the steady clock [ns].
    """
    configured, active = state.configured, state.active
    message = PolicyStatus(stamp=to_stamp(now_ns), task=state.task, e_stop=state.e_stop.latched)
    message.chunk_age = message.shadow_error = message.link_clock_offset = math.nan
    message.task_familiarity = math.nan
    message.state = PolicyStatus.UNCONFIGURED if configured is None else PolicyStatus.INACTIVE
    if configured is not None:
        known_tasks = configured.policy.known_tasks
        message.device, message.backend = configured.policy.device, configured.policy.backend
        message.known_task = not known_tasks or message.task in known_tasks or _is_familiar(state)
        if state.familiarity is not None:
            message.task_familiarity = state.familiarity.similarity
        message.dry_run = configured.settings["dry_run"]
        message.policy, message.checkpoint = configured.policy.policy, configured.policy.checkpoint
        _add_link(message, configured.link)
    if configured is not None and active is not None:
        _add_motion(message, configured.motion)
        _add_inference(message, configured.link.figures, now_ns)
        message.control_rate = active.watch.rate.rate(steady_ns)
        message.control_interval_p50 = active.watch.intervals.percentile(50)
        message.control_interval_p99 = active.watch.intervals.percentile(99)
        message.missed_ticks = active.watch.missed_ticks
    message.state_name = _NAMES[message.state]
    return message


def _is_familiar(state: NodeState) -> bool:
    """Whether the instruction is near one of the training."""
    found = state.familiarity
    return found is not None and found.threshold is not None and found.is_familiar


def control_state(state: NodeState, now_ns: int) -> ControlState:
    """The message for ~/control, as if that had begun at ``now_ns`` [ns]."""
    message = ControlState(stamp=to_stamp(now_ns), since=to_stamp(now_ns), task=state.task)
    if (configured := state.configured) is None:
        return message
    message.policy, message.checkpoint = configured.policy.policy, configured.policy.checkpoint
    if state.active is None or configured.settings["dry_run"]:
        return message
    takeover, motion_state = configured.motion.takeover, configured.motion.state
    message.human_joints = takeover.human_joints
    if message.human_joints:
        message.controller = ControlState.HUMAN
    elif motion_state is MotionState.HOLD or takeover.is_homing:
        message.controller = ControlState.HOLD
    else:
        message.controller = ControlState.POLICY
    return message


def control_key(message: ControlState) -> tuple[Any, ...]:
    """What makes two messages for ~/control differ."""
    return message.controller, tuple(message.human_joints), message.task, message.policy


def incident_facts(
    configured: Configured | None, status: PolicyStatus, now_ns: int, events: list[dict[str, Any]]
) -> dict[str, Any]:
    """The content of incident.json about the node: versions, robot, parameters, policy, status, events.

    Args:
        configured: of the node; None while unconfigured.
        status: present status.
        now_ns: present time of the node's clock [ns].
        events: recent events, oldest first.
    """
    fields = {name: getattr(status, name) for name in status.get_fields_and_field_types()}
    fields["stamp"] = now_ns
    contract = None if configured is None else configured.contract
    return {
        "version": package_version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "robot_type": "" if contract is None else contract.robot_type,
        "joints": [] if contract is None else list(contract.joints),
        "entries": [] if contract is None else list(contract.layout.names),
        "dataset_names": [] if contract is None else [asdict(each) for each in contract.dataset_names],
        "vectors": [] if contract is None else [asdict(each) for each in contract.vectors],
        "trained_cameras": {} if contract is None else contract.trained_cameras,
        "controllers": {} if contract is None else {c.name: list(c.joints) for c in contract.controllers},
        "parameters": {} if configured is None else dict(configured.settings),
        "policy": "" if configured is None else configured.policy.description,
        "device": "" if configured is None else configured.policy.device,
        "steps": 0 if configured is None else configured.policy.steps,
        # JSON has no NaN: a figure without a measurement is null.
        "status": {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in fields.items()
        },
        "events": events,
    }


def _add_motion(message: PolicyStatus, motion: MotionGate) -> None:
    pipeline = motion.pipeline
    message.state = _ACTIVE[pipeline.state]
    if motion.takeover.is_homing:
        message.state = PolicyStatus.HOMING
    message.human_joints, message.intervention = motion.takeover.human_joints, motion.takeover.text
    message.hold_reason = pipeline.hold_reason
    message.hold_recoverable = pipeline.state is MotionState.HOLD and motion.recoverable
    message.live_chunks = pipeline.live_chunks
    message.plans, message.holds = pipeline.plans, pipeline.holds
    message.expired_chunks, message.disagreements = pipeline.expired_chunks, pipeline.disagreements
    message.limited_knots, message.clamped_knots = pipeline.limited_knots, pipeline.clamped_knots


def _add_link(message: PolicyStatus, link: InferenceLink) -> None:
    message.inference = link.state
    offset = link.clock_offset
    message.link_round_trip = link.round_trip or 0.0
    message.link_clock_offset = math.nan if offset is None else offset
    message.camera_bytes_per_second = link.streams.bytes_per_second
    message.refused_chunks, message.inference_restarts = link.figures.refused, link.restarts


def _add_inference(message: PolicyStatus, figures: InferenceFigures, now_ns: int) -> None:
    message.chunks, message.missed_latencies = figures.chunks, figures.missed_latencies
    message.inference_latency_p50 = figures.inference.percentile(50)
    message.inference_latency_p95 = figures.inference.percentile(95)
    message.pipeline_latency_p50 = figures.pipeline.percentile(50)
    message.pipeline_latency_p95 = figures.pipeline.percentile(95)
    message.observation_age = figures.observation_age.newest
    message.chunk_rate = figures.chunk_rate.rate(now_ns)
    if figures.newest_stamp_ns is not None:
        message.chunk_age = (now_ns - figures.newest_stamp_ns) * 1e-9

# SPDX-License-Identifier: Apache-2.0
"""The status message of the policy node."""

import math

from dit_policy_ros.core.motion import MotionState
from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.msg import PolicyStatus
from dit_policy_ros.ros.common import to_stamp
from dit_policy_ros.ros.policy._control_watch import ControlWatch
from dit_policy_ros.ros.policy._inference_worker import InferenceFigures
from dit_policy_ros.ros.policy._motion_gate import MotionGate

_ACTIVE = {
    MotionState.WAITING: PolicyStatus.WAITING,
    MotionState.RUNNING: PolicyStatus.RUNNING,
    MotionState.HOLD: PolicyStatus.HOLD,
}
_NAMES = {
    PolicyStatus.UNCONFIGURED: "unconfigured",
    PolicyStatus.INACTIVE: "inactive",
    PolicyStatus.WAITING: "waiting",
    PolicyStatus.RUNNING: "running",
    PolicyStatus.HOLD: "hold",
}


def policy_status(
    now_ns: int,
    steady_ns: int,
    task: str,
    e_stop: bool,
    policy: Policy | None,
    motion: MotionGate | None,
    figures: InferenceFigures | None,
    watch: ControlWatch | None,
) -> PolicyStatus:
    """What to publish on ~/status.

    Args:
        policy: None while unconfigured.
        motion, figures, watch: None while inactive.
    """
    message = PolicyStatus(stamp=to_stamp(now_ns), task=task, e_stop=e_stop)
    message.state = PolicyStatus.UNCONFIGURED if policy is None else PolicyStatus.INACTIVE
    if policy is not None:
        message.device, message.backend = policy.device, policy.backend
    message.chunk_age = message.shadow_error = math.nan
    if motion is not None and figures is not None and watch is not None:
        pipeline = motion.pipeline
        message.state = _ACTIVE[pipeline.state]
        message.hold_reason = pipeline.hold_reason
        message.hold_recoverable = pipeline.state is MotionState.HOLD and motion.recoverable
        message.live_chunks = pipeline.live_chunks
        message.plans, message.holds = pipeline.plans, pipeline.holds
        message.expired_chunks, message.disagreements = pipeline.expired_chunks, pipeline.disagreements
        message.limited_knots = pipeline.limited_knots
        message.chunks, message.missed_latencies = figures.chunks, figures.missed_latencies
        message.inference_latency_p50 = figures.inference.percentile(50)
        message.inference_latency_p95 = figures.inference.percentile(95)
        message.pipeline_latency_p50 = figures.pipeline.percentile(50)
        message.pipeline_latency_p95 = figures.pipeline.percentile(95)
        message.observation_age = figures.observation_age.newest
        message.chunk_rate = figures.chunk_rate.rate(now_ns)
        if figures.newest_stamp_ns is not None:
            message.chunk_age = (now_ns - figures.newest_stamp_ns) * 1e-9
        message.control_rate = watch.rate.rate(steady_ns)
        message.control_interval_p50 = watch.intervals.percentile(50)
        message.control_interval_p99 = watch.intervals.percentile(99)
        message.missed_ticks = watch.missed_ticks
    message.state_name = _NAMES[message.state]
    return message

# SPDX-License-Identifier: Apache-2.0
"""What an incident says of the joints over time: commanded, measured, chunks, limits and holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Limits
from dit_policy_ros.core.incidents import Incident, MotionCall, unpickle
from dit_policy_ros.core.motion import Chunk, Plan
from dit_policy_ros.data.incident_folder import StoredIncident

_STEP_NS = 5_000_000  # between two points of the commanded motion


@dataclass(frozen=True, slots=True, eq=False)
class JointTraces:
    """The motion of an incident; N points, M measurements, A joints. Times are stamps of the node's clock.

    Attributes:
        joints: their names.
        times_ns, commanded: int64 (N,) [ns] and positions (N, A) [rad or m] that the controllers were sent.
        measured_ns, measured: int64 (M,) [ns] and measured positions (M, A) [rad or m].
        chunks: those that reached the motion, oldest first.
        position_min, position_max: (A,) [rad or m].
        holds: when each HOLD began [ns], and why.
    """

    joints: tuple[str, ...]
    times_ns: NDArray[np.int64]
    commanded: NDArray[np.float64]
    measured_ns: NDArray[np.int64]
    measured: NDArray[np.float64]
    chunks: tuple[Chunk, ...]
    position_min: NDArray[np.float64]
    position_max: NDArray[np.float64]
    holds: tuple[tuple[int, str], ...]


def joint_traces(stored: StoredIncident) -> JointTraces:
    """Take an incident apart. Raises IncidentError when its motion cannot be read."""
    joints = tuple(stored.facts["joints"])
    calls = [call for segment in stored.incident.segments for call in segment.calls]
    measured = sorted(_measurements(stored.incident, calls, len(joints)), key=lambda each: each[0])
    limits = _limits(stored.incident, len(joints))
    times_ns, commanded = _commanded([call.plan for call in calls if call.plan is not None], len(joints))
    return JointTraces(
        joints=joints,
        times_ns=times_ns,
        commanded=commanded,
        measured_ns=np.array([when for when, _ in measured], dtype=np.int64),
        measured=np.array([pose for _, pose in measured]).reshape(-1, len(joints)),
        chunks=tuple(call.arguments[0] for call in calls if call.method == "add_chunk"),
        position_min=limits[0],
        position_max=limits[1],
        holds=tuple(
            (int(call.arguments[1]), str(call.arguments[0]))
            for call in calls
            if call.method == "hold" and call.plan is not None
        ),
    )


def _commanded(plans: Sequence[Plan], joints: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each plan from its beginning until the next one begins."""
    times, positions = [np.empty(0, np.int64)], [np.empty((0, joints))]
    for plan, following in zip(plans, [*plans[1:], None], strict=True):
        end_ns = plan.end_ns + 1 if following is None else int(following.times_ns[0])
        times.append(np.arange(plan.times_ns[0], end_ns, _STEP_NS))  # (n,)
        positions.append(plan.sample(times[-1])[0])  # (n, A)
    return np.concatenate(times), np.concatenate(positions)


def _measurements(
    incident: Incident, calls: Sequence[MotionCall], joints: int
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Time [ns] and pose (A,) of what was measured: by the observations, and when a HOLD began."""
    for inference in incident.inferences:
        if inference.state.shape[-1] >= joints:  # further vectors follow the joints
            yield inference.stamp_ns, inference.state[-1, :joints].astype(np.float64)
    for call in calls:
        if call.method == "hold" and len(call.arguments) > 2 and call.arguments[2] is not None:
            yield int(call.arguments[1]), np.asarray(call.arguments[2], dtype=np.float64)


def _limits(incident: Incident, joints: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest position (A,) of each joint; infinite where they are not known."""
    if incident.segments:
        limits = unpickle(incident.segments[0].state).get("limits")
        if isinstance(limits, Limits):
            return limits.position_min, limits.position_max
    return np.full(joints, -np.inf), np.full(joints, np.inf)

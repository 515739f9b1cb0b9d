# SPDX-License-Identifier: Apache-2.0
"""An incident in Rerun: cameras, commanded and measured joints, limits, chunks, holds and events."""

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.data.incident_folder import StoredIncident
from dit_policy_ros.evaluation.replay import JointTraces, joint_traces
from dit_policy_ros.evaluation.view._recording import Recording

_LANES = 16  # of chunks that overlap in time; each is a curve of its own


def log_incident(recording: Recording, stored: StoredIncident) -> None:
    """Show an incident. Raises IncidentError if its motion cannot be read."""
    traces = joint_traces(stored)
    inferences = stored.incident.inferences
    stamps = [*traces.times_ns[:1].tolist(), *(each.stamp_ns for each in inferences)]
    zero_ns = min(stamps, default=0)
    for index, joint in enumerate(traces.joints):
        _log_joint(recording, traces, index, joint, zero_ns)
    shown = set()
    for inference in inferences:
        for camera, frames in inference.images.items():
            for stamp_ns, image in zip(inference.image_stamps_ns[camera], frames, strict=True):
                if (camera, stamp_ns) not in shown:  # observations share frames
                    shown.add((camera, stamp_ns))
                    recording.image(f"camera/{camera}", (stamp_ns - zero_ns) * 1e-9, image)
    for when_ns, reason in traces.holds:
        recording.text("holds", (when_ns - zero_ns) * 1e-9, reason)
    facts = stored.facts
    events = [f"* {each['time']} {each['kind']}: {each['text']}" for each in facts["events"]]
    recording.document("incident", "\n".join([f"# {facts['reason']}", facts["written"], "", *events]))


def _log_joint(recording: Recording, traces: JointTraces, index: int, joint: str, zero_ns: int) -> None:
    def seconds(times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        return (times_ns - zero_ns) * 1e-9

    recording.curve(f"joints/{joint}/commanded", seconds(traces.times_ns), traces.commanded[:, index])
    recording.curve(f"joints/{joint}/measured", seconds(traces.measured_ns), traces.measured[:, index])
    ends_ns = traces.times_ns[[0, -1]] if len(traces.times_ns) else traces.times_ns  # (2,)
    for name, limits in (("min", traces.position_min), ("max", traces.position_max)):
        if np.isfinite(limits[index]):
            level = np.full(len(ends_ns), limits[index])
            recording.curve(f"joints/{joint}/limit_{name}", seconds(ends_ns), level)
    for number, chunk in enumerate(traces.chunks):
        times_ns = chunk.stamp_ns + chunk.period_ns * np.arange(len(chunk.actions) + 1)  # (T + 1,)
        values = np.append(chunk.actions[:, index], np.nan)  # a gap, so that chunks are not joined
        recording.curve(f"joints/{joint}/chunks/{number % _LANES}", seconds(times_ns), values)

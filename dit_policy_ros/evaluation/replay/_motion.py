# SPDX-License-Identifier: Apache-2.0
"""Repeats the motion pipeline's calls of an incident and compares the plans with the recorded ones."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.core.incidents import ReplayedCall, replay_calls
from dit_policy_ros.data.incident_folder import StoredIncident

CSV_STEP_NS = 5_000_000  # between two rows


@dataclass(frozen=True, slots=True)
class MotionComparison:
    """The repeated calls of the motion pipeline, in order."""

    calls: tuple[ReplayedCall, ...]

    @property
    def plans(self) -> int:
        """How many calls made a plan."""
        return sum(call.plan is not None for call in self.calls)

    @property
    def different(self) -> list[int]:
        """Indices of the calls whose outcome is not identical bit for bit."""
        return [index for index, call in enumerate(self.calls) if not call.identical]


def replay_motion(stored: StoredIncident) -> MotionComparison:
    """Repeat the recorded calls. Raises IncidentError when they are not of this package's pipeline."""
    return MotionComparison(tuple(replay_calls(stored.incident.segments)))


def write_commands(path: Path, motion: MotionComparison, joints: Sequence[str]) -> None:
    """Write what the controllers were commanded over time as CSV, one row per 5 ms."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(_command_rows(motion.calls, joints))


def _command_rows(calls: Sequence[ReplayedCall], joints: Sequence[str]) -> Iterator[list[Any]]:
    """The header and the rows: each plan from its call until the next plan."""
    yield ["time", *(f"{joint}/position" for joint in joints), *(f"{joint}/velocity" for joint in joints)]
    plans = [call.plan for call in calls if call.plan is not None]
    for plan, following in zip(plans, [*plans[1:], None], strict=True):
        end_ns = plan.end_ns if following is None else int(following.times_ns[0])
        times_ns = np.arange(plan.times_ns[0], end_ns, CSV_STEP_NS)  # (N,)
        positions, velocities = plan.sample(times_ns)  # (N, A) both
        for t, p, v in zip(times_ns, positions, velocities, strict=True):
            yield [f"{t * 1e-9:.6f}", *p.tolist(), *v.tolist()]

# SPDX-License-Identifier: Apache-2.0
"""The actions that are already known for the time of the next chunk, for real-time chunking."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.motion._chunk import Chunk
from dit_policy_ros.core.motion._plan import Plan
from dit_policy_ros.core.path import PathClock


@dataclass(frozen=True, slots=True, eq=False)
class Continuation:
    """Known actions at the times of the next sample's rows.

    Attributes:
        actions: float64 (T, A) in robot units [rad or m]; NaN rows where nothing is known.
        committed: number of leading rows that are executed before the next chunk can take effect.
    """

    actions: NDArray[np.float64]
    committed: int

    def __post_init__(self) -> None:
        if self.actions.ndim != 2 or not 0 <= self.committed <= len(self.actions):
            raise ValueError(
                f"expected actions (T, A) and 0 to T committed rows, got {self.actions.shape} and "
                f"{self.committed}"
            )


def continuation(
    previous: Chunk,
    plan: Plan,
    clocks: Sequence[tuple[NDArray[np.int64], PathClock]],
    first_ns: int,
    stamp_ns: int,
    horizon: int,
    committed_until_ns: int,
) -> Continuation | None:
    """The known actions that the next inference should continue.

    Args:
        previous: the newest chunk.
        plan: the active plan; the robot executes it until ``committed_until_ns``, whatever is inferred.
        clocks: for each group of coupled joints their indices (S,) and their path time. Where the arms go
            slower than the policy asks, a row is reached later.
        first_ns: time of the new sample's first row [ns]; the rows are the chunk's period apart.
        stamp_ns: of the observation, from which on the sample's rows are executed [ns].
        horizon: rows of the new sample.
        committed_until_ns: the earliest time at which a plan from the new chunk can take over [ns].

    Returns:
        None if the previous chunk ends before the sample's first row.
    """
    actions = np.full((horizon, previous.actions.shape[1]), np.nan)  # (T, A)
    committed = horizon
    for joints, clock in clocks:
        began_ns, path_ns, until_ns = clock.at(np.array([previous.stamp_ns, stamp_ns, committed_until_ns]))
        rows_ns = path_ns + first_ns - stamp_ns + previous.period_ns * np.arange(horizon)  # (T,) path times
        known = previous.at(rows_ns - began_ns + previous.stamp_ns)[:, joints]  # (T, S)
        if np.isnan(known).all():
            return None
        times_ns = clock.time_of(rows_ns)  # (T,)
        executed = (rows_ns <= until_ns) & (times_ns >= plan.times_ns[0])  # (T,)
        if executed.any():
            known[executed] = plan.sample(times_ns[executed])[0][:, joints]
        actions[:, joints] = known
        committed = min(committed, int((rows_ns <= until_ns).sum()))
    return Continuation(actions, committed)

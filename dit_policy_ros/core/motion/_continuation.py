# SPDX-License-Identifier: Apache-2.0
"""The actions that are already known for the time of the next chunk, for real-time chunking."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.motion._chunk import Chunk
from dit_policy_ros.core.motion._plan import Plan


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
    previous: Chunk, plan: Plan, first_ns: int, horizon: int, committed_until_ns: int
) -> Continuation | None:
    """The known actions that the next inference should continue.

    Args:
        previous: the newest chunk.
        plan: the active plan; the robot executes it until ``committed_until_ns``, whatever is inferred.
        first_ns: time of the new sample's first row [ns]; the rows are the chunk's period apart.
        horizon: rows of the new sample.
        committed_until_ns: the earliest time at which a plan from the new chunk can take over [ns].

    Returns:
        None if the previous chunk ends before the sample's first row.
    """
    times_ns = first_ns + previous.period_ns * np.arange(horizon, dtype=np.int64)  # (T,)
    actions = previous.at(times_ns)  # (T, A)
    if np.isnan(actions).all():
        return None
    executed = (times_ns <= committed_until_ns) & (times_ns >= plan.times_ns[0])  # (T,)
    if executed.any():
        actions[executed] = plan.sample(times_ns[executed])[0]
    return Continuation(actions, int((times_ns <= committed_until_ns).sum()))

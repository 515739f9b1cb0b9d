# SPDX-License-Identifier: Apache-2.0
"""A chunk: the actions of one inference with their absolute times, and the blend of two targets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Actions of one inference; ``actions[k]`` is meant for ``stamp_ns + k * period_ns``.

    Attributes:
        stamp_ns: time of the observation that the chunk was inferred from [ns].
        period_ns: spacing of the actions, the training interval [ns].
        actions: float64 (T, A) in robot units [rad or m].
    """

    stamp_ns: int
    period_ns: int
    actions: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.actions.ndim != 2 or len(self.actions) == 0:
            raise ValueError(f"a chunk needs actions of shape (T, A) with T >= 1, got {self.actions.shape}")
        if self.period_ns <= 0:
            raise ValueError(f"the period of a chunk must be positive, got {self.period_ns} ns")

    @property
    def end_ns(self) -> int:
        """Time of the last action [ns]."""
        return self.stamp_ns + (len(self.actions) - 1) * self.period_ns

    def of_joints(self, joints: NDArray[np.int64] | NDArray[np.bool_]) -> "Chunk":
        """The actions of some joints, by index or as bool (A,)."""
        return Chunk(self.stamp_ns, self.period_ns, self.actions[:, joints])

    def covers(self, times_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of ``times_ns`` (K,) lie between the chunk's first and last action -> (K,)."""
        return (times_ns >= self.stamp_ns) & (times_ns <= self.end_ns)

    def at(self, times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """The actions at ``times_ns`` (K,), interpolated linearly -> (K, A); NaN outside the chunk."""
        return actions_at([self], times_ns)[0]


def actions_at(chunks: Sequence[Chunk], times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """The actions of chunks of one shape at ``times_ns`` (K,) -> (C, K, A); NaN outside a chunk.

    All chunks at once: a call for each of them would take most of the time of a plan.
    """
    stamps_ns = np.array([chunk.stamp_ns for chunk in chunks])[:, None]  # (C, 1)
    periods_ns = np.array([chunk.period_ns for chunk in chunks])[:, None]  # (C, 1)
    actions = np.stack([chunk.actions for chunk in chunks])  # (C, T, A)
    offset_ns = times_ns - stamps_ns  # (C, K) exact: the large stamps cancel as integers
    # Code that runs for every plan uses minimum and maximum: numpy.clip is slow on small arrays.
    end = actions.shape[1] - 1
    step = np.minimum(np.maximum(offset_ns // periods_ns, 0), max(end - 1, 0))  # (C, K)
    fraction = (offset_ns - step * periods_ns) / periods_ns  # (C, K)
    chunk = np.arange(len(chunks))[:, None]  # (C, 1)
    before, after = actions[chunk, step], actions[chunk, np.minimum(step + 1, end)]  # (C, K, A)
    values = before + fraction[:, :, None] * (after - before)  # (C, K, A)
    values[(offset_ns < 0) | (offset_ns > end * periods_ns)] = np.nan
    return values


def advanced(chunk: Chunk, lead_ns: NDArray[np.int64]) -> Chunk:
    """The chunk with each joint's actions earlier by its lead: an arm with that latency is there in time.

    If all leads are equal, only the stamp changes. Otherwise the joints with a longer one are interpolated to
    the common rows, and rows are dropped at the end that they do not reach.

    Args:
        chunk: of the policy.
        lead_ns: (A,) how much earlier each joint is commanded [ns], not negative.
    """
    if not lead_ns.any():
        return chunk
    common_ns = int(lead_ns.min())
    rest_ns = lead_ns - common_ns  # (A,)
    dropped = -(-int(rest_ns.max()) // chunk.period_ns)
    actions = chunk.actions[: max(1, len(chunk.actions) - dropped)]  # (T', A)
    if rest_ns.any():
        times_ns = chunk.stamp_ns + chunk.period_ns * np.arange(len(actions), dtype=np.int64)  # (T',)
        actions = actions.copy()
        for later_ns in np.unique(rest_ns[rest_ns > 0]):
            joints = rest_ns == later_ns  # (A,)
            actions[:, joints] = chunk.at(np.minimum(times_ns + later_ns, chunk.end_ns))[:, joints]
    return replace(chunk, stamp_ns=chunk.stamp_ns - common_ns, actions=actions)


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """A smooth transition from a former target to a new one, over ``duration`` from ``begin_ns`` on.

    The soft start and the change of a task are such transitions.

    Attributes:
        former: the former target, (M, A); before its first row and after its last one it stays there.
        begin_ns: when the transition begins [ns].
        duration: how long it takes [s]; 0 switches at once.
    """

    former: Chunk
    begin_ns: int
    duration: float

    @classmethod
    def from_pose(cls, pose: NDArray[np.float64], begin_ns: int, duration: float) -> Self:
        """A transition that starts at rest at ``pose`` (A,)."""
        return cls(Chunk(begin_ns, 1, pose[None, :]), begin_ns, duration)

    def apply(self, times_ns: NDArray[np.int64], target: NDArray[np.float64]) -> NDArray[np.float64]:
        """Blends the new target (K, A) at ``times_ns`` (K,) with the former one -> (K, A)."""
        within_ns = np.minimum(np.maximum(times_ns, self.former.stamp_ns), self.former.end_ns)  # (K,)
        former = self.former.at(within_ns)  # (K, A)
        if self.duration <= 0.0:
            return np.where((times_ns >= self.begin_ns)[:, None], target, former)
        elapsed = (times_ns - self.begin_ns) * 1e-9  # (K,) [s]
        u = np.clip(elapsed / self.duration, 0.0, 1.0)[:, None]  # (K, 1)
        weight = u * u * (3.0 - 2.0 * u)  # (K, 1) smoothstep: zero slope at both ends
        return former + weight * (target - former)

# SPDX-License-Identifier: Apache-2.0
"""Temporal ensembling of overlapping chunks, keyed by absolute time.

Weights follow ACT (Zhao et al. 2023, arXiv 2304.13705, algorithm 2): ``exp(-m * rank)``, the oldest
prediction for a time has rank 0. Unlike there, a prediction belongs to an instant and not to a step
count, so latency and jitter cannot shift it. Angles of continuous joints are averaged on the circle: each is
taken at the turn nearest to the newest prediction, which within half a turn is the mean of least squares.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.continuous_joints import nearest, unwrapped
from dit_policy_ros.core.motion._chunk import Chunk


class EnsembleMode(StrEnum):
    """How the live chunks' predictions for one instant become one."""

    ACT = "act"  # weighted average
    NEWEST = "newest"  # the newest prediction wins
    NONE = "none"  # the first prediction stays: a chunk is played to its end


@dataclass(frozen=True, slots=True, eq=False)
class EnsembleSettings:
    """What the ensembler may average, and what not.

    Attributes:
        mode: see EnsembleMode.
        temporal_ensemble_coeff: the weights are exp(-coeff * rank), oldest first; 0 weighs all chunks alike.
        never_averaged: bool (A,), joints that are never averaged (grippers: half-closed is no compromise).
        disagreement: float64 (A,) spread [rad or m] beyond which nothing is averaged; inf: no gate.
        group: int (A,), joints of one number are coupled: one offending joint drops the old chunks for all.
        taper_ns: over so long before its end a chunk's weight falls, so that nothing leaps when it ends [ns].
        circular: bool (A,), joints that turn without end; they are averaged on the circle.
    """

    mode: EnsembleMode
    temporal_ensemble_coeff: float
    never_averaged: NDArray[np.bool_]
    disagreement: NDArray[np.float64]
    group: NDArray[np.int64]
    taper_ns: int = 0
    circular: NDArray[np.bool_] = field(default_factory=lambda: np.array(False))

    def __post_init__(self) -> None:
        if not 0.0 <= self.temporal_ensemble_coeff < np.inf:
            raise ValueError(
                f"temporal_ensemble_coeff must be finite and not negative, got {self.temporal_ensemble_coeff}"
            )
        if not (self.never_averaged.shape == self.disagreement.shape == self.group.shape):
            raise ValueError("never_averaged, disagreement and group must have one entry per joint")
        if not (self.disagreement > 0.0).all():
            raise ValueError("disagreement thresholds must be positive")
        if self.taper_ns < 0:
            raise ValueError(f"taper_ns must not be negative, got {self.taper_ns}")
        object.__setattr__(self, "circular", np.broadcast_to(self.circular, self.group.shape))


@dataclass(slots=True, eq=False)
class _Live:
    """A chunk and, per joint, the time from which the disagreement gate has taken it out."""

    chunk: Chunk
    until_ns: NDArray[np.int64]  # (A,)


_FOREVER = np.iinfo(np.int64).max


class Ensembler:
    """Keeps the live chunks and says what to do at each knot."""

    def __init__(self, settings: EnsembleSettings) -> None:
        self.settings = settings
        self.disagreements = 0  # times that the gate dropped older chunks
        self._live: list[_Live] = []  # oldest first

    def __len__(self) -> int:
        return len(self._live)

    def clear(self) -> None:
        """Forget every chunk."""
        self._live.clear()

    def add(self, chunk: Chunk) -> None:
        """Take in a chunk; chunks may arrive in any order.

        Raises:
            ValueError: if the chunk has another number of joints.
        """
        joints = len(self.settings.group)
        if chunk.actions.shape[1] != joints:
            raise ValueError(f"expected actions of shape (T, {joints}), got {chunk.actions.shape}")
        whole = unwrapped(chunk.actions, chunk.actions[0], self.settings.circular)  # (T, A)
        self._live.append(_Live(replace(chunk, actions=whole), np.full(joints, _FOREVER)))
        self._live.sort(key=lambda live: live.chunk.stamp_ns)

    def forget_before(self, time_ns: int) -> None:
        """Drop the chunks that end before ``time_ns``."""
        self._live = [live for live in self._live if live.chunk.end_ns >= time_ns]

    def blend(self, times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """What to do at ``times_ns`` (K,), ascending -> (K, A); NaN where no live chunk reaches."""
        joints = len(self.settings.group)
        if not self._live or not len(times_ns):
            return np.full((len(times_ns), joints), np.nan)
        values = np.stack([live.chunk.at(times_ns) for live in self._live])  # (C, K, A)
        self._apply_disagreement_gate(times_ns, values)
        values, valid = self._valid(times_ns, values)  # (C, K, A) both
        weights = valid * self._weights(valid) * self._taper(times_ns)[:, :, None]  # (C, K, A)
        total = weights.sum(axis=0)  # (K, A)
        summed = (weights * np.where(valid, values, 0.0)).sum(axis=0)  # (K, A)
        return np.where(total > 0.0, summed / np.where(total > 0.0, total, 1.0), np.nan)

    def _valid(
        self, times_ns: NDArray[np.int64], values: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The chunks' values (C, K, A) as they can be compared, and which of them count."""
        until_ns = np.stack([live.until_ns for live in self._live])  # (C, A)
        valid = ~np.isnan(values) & (times_ns[None, :, None] < until_ns[:, None, :])  # (C, K, A)
        if self.settings.circular.any():
            newest = np.where(valid, np.arange(len(values))[:, None, None], -1).max(axis=0)  # (K, A)
            reference = np.take_along_axis(values, newest[None], axis=0)  # (1, K, A)
            values = nearest(values, reference, self.settings.circular)
        return values, valid

    def _taper(self, times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """How much of its weight each chunk has left, (C, K): one step's worth at its end, never nothing."""
        taper_ns = self.settings.taper_ns
        left = [
            (live.chunk.end_ns - times_ns + live.chunk.period_ns) / (taper_ns + live.chunk.period_ns)
            for live in self._live
        ]
        return np.clip(np.stack(left), 0.0, 1.0) if taper_ns else np.ones((len(left), len(times_ns)))

    def _weights(self, valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        rank = np.cumsum(valid, axis=0) - 1  # (C, K, A) 0 for the oldest prediction of a time
        newest = rank == valid.sum(axis=0) - 1  # (C, K, A)
        if self.settings.mode is EnsembleMode.NEWEST:
            return newest.astype(np.float64)
        if self.settings.mode is EnsembleMode.NONE:
            return (rank == 0).astype(np.float64)
        weights = np.exp(-self.settings.temporal_ensemble_coeff * rank)  # (C, K, A)
        return np.where(self.settings.never_averaged, newest, weights)

    def _apply_disagreement_gate(self, times_ns: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Take the older chunks out of a group from the first knot where that group's predictions spread."""
        if self.settings.mode is not EnsembleMode.ACT or len(self._live) < 2:
            return
        values, valid = self._valid(times_ns, values)  # (C, K, A) both
        highest = np.where(valid, values, -np.inf).max(axis=0)  # (K, A)
        lowest = np.where(valid, values, np.inf).min(axis=0)  # (K, A)
        offends = (highest - lowest > self.settings.disagreement) & ~self.settings.never_averaged  # (K, A)
        for group in np.unique(self.settings.group):
            members = self.settings.group == group  # (A,)
            knots = np.flatnonzero(offends[:, members].any(axis=1))
            if not len(knots):
                continue
            self.disagreements += 1
            for live in self._live[:-1]:
                live.until_ns[members] = np.minimum(live.until_ns[members], times_ns[knots[0]])

# SPDX-License-Identifier: Apache-2.0
"""Temporal ensembling: averages the predictions of overlapping chunks for the same time.

Weights follow ACT (Zhao et al. 2023, arXiv 2304.13705, algorithm 2): ``exp(-coeff * rank)``, where the oldest
prediction has rank 0. ACT matches predictions by step count; here they are matched by absolute time, so
latency and jitter cannot shift them. Angles of continuous joints are averaged on the circle: each is shifted
by whole turns to be nearest to the newest prediction. Within half a turn that gives the least-squares mean.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.continuous_joints import nearest_turn, unwrap
from dit_policy_ros.core.motion._chunk import Chunk, actions_at


class EnsembleMode(StrEnum):
    """How several predictions for one time are combined."""

    ACT = "act"  # weighted average
    NEWEST = "newest"  # use the newest prediction
    NONE = "none"  # use the oldest prediction: every chunk is executed to its end


@dataclass(frozen=True, slots=True, eq=False)
class EnsembleSettings:
    """How predictions are averaged.

    Attributes:
        mode: see EnsembleMode.
        temporal_ensemble_coeff: the weights are exp(-coeff * rank), oldest first; 0 gives equal weights.
        never_averaged: bool (A,), joints that always use the newest prediction. Meant for grippers: the
            average of open and closed is useless.
        max_disagreement: float64 (A,), if predictions spread further than this, older chunks are dropped
            [rad or m]; inf never drops.
        coupling: int (A,), joints with the same number are coupled: if one of them disagrees, older chunks
            are dropped for all of them.
        taper_ns: the time before its end over which a chunk loses its weight, so that the average does not
            jump when the chunk ends [ns].
        continuous: bool (A,), joints without position limits; they are averaged on the circle.
    """

    mode: EnsembleMode
    temporal_ensemble_coeff: float
    never_averaged: NDArray[np.bool_]
    max_disagreement: NDArray[np.float64]
    coupling: NDArray[np.int64]
    taper_ns: int = 0
    continuous: NDArray[np.bool_] = field(default_factory=lambda: np.array(False))

    def __post_init__(self) -> None:
        if not 0.0 <= self.temporal_ensemble_coeff < np.inf:
            raise ValueError(
                f"temporal_ensemble_coeff must be finite and not negative, got {self.temporal_ensemble_coeff}"
            )
        if not (self.never_averaged.shape == self.max_disagreement.shape == self.coupling.shape):
            raise ValueError("never_averaged, max_disagreement and coupling must have one entry per joint")
        if not (self.max_disagreement > 0.0).all():
            raise ValueError("max_disagreement must be positive for every joint")
        if self.taper_ns < 0:
            raise ValueError(f"taper_ns must not be negative, got {self.taper_ns}")
        object.__setattr__(self, "continuous", np.broadcast_to(self.continuous, self.coupling.shape))

    def of_joints(self, joints: NDArray[np.int64]) -> Self:
        """The settings of some joints (S,), by index."""
        return replace(
            self,
            never_averaged=self.never_averaged[joints],
            max_disagreement=self.max_disagreement[joints],
            coupling=self.coupling[joints],
            continuous=self.continuous[joints],
        )


@dataclass(slots=True, eq=False)
class _Live:
    """A chunk and, per joint, the time from which the disagreement gate ignores it."""

    chunk: Chunk
    until_ns: NDArray[np.int64]  # (A,)


_FOREVER_NS = np.iinfo(np.int64).max


class Ensembler:
    """Keeps the live chunks and combines their predictions at each knot."""

    def __init__(self, settings: EnsembleSettings) -> None:
        self.settings = settings
        self.disagreements = 0  # number of times that the gate dropped older chunks
        self._live: list[_Live] = []  # oldest first

    def __len__(self) -> int:
        return len(self._live)

    def part(self, columns: NDArray[np.bool_]) -> "Ensembler":
        """The predictions of some joints, bool (A,), on their own; nothing is counted yet."""
        part = Ensembler(self.settings.of_joints(np.flatnonzero(columns)))
        part._live = [
            _Live(replace(live.chunk, actions=live.chunk.actions[:, columns]), live.until_ns[columns])
            for live in self._live
        ]
        return part

    def clear(self) -> None:
        """Drop all chunks."""
        self._live.clear()

    def add(self, chunk: Chunk) -> None:
        """Add a chunk; chunks may arrive in any order.

        Raises:
            ValueError: if the chunk has the wrong number of joints.
        """
        joints = len(self.settings.coupling)
        if chunk.actions.shape[1] != joints:
            raise ValueError(f"expected actions of shape (T, {joints}), got {chunk.actions.shape}")
        actions = unwrap(chunk.actions, chunk.actions[0], self.settings.continuous)  # (T, A)
        self._live.append(_Live(replace(chunk, actions=actions), np.full(joints, _FOREVER_NS)))
        self._live.sort(key=lambda live: live.chunk.stamp_ns)

    def drop_ended(self, time_ns: int) -> None:
        """Drop the chunks that end before ``time_ns``."""
        self._live = [live for live in self._live if live.chunk.end_ns >= time_ns]

    def blend(self, times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """The combined actions at ``times_ns`` (K,), ascending -> (K, A); NaN where no chunk reaches."""
        joints = len(self.settings.coupling)
        if not self._live or not len(times_ns):
            return np.full((len(times_ns), joints), np.nan)
        values = self._predictions(times_ns)  # (C, K, A)
        self._apply_disagreement_gate(times_ns, values)
        values, valid = self._comparable(times_ns, values)  # (C, K, A) both
        weights = valid * self._weights(valid) * self._taper(times_ns)[:, :, None]  # (C, K, A)
        total = weights.sum(axis=0)  # (K, A)
        summed = (weights * np.where(valid, values, 0.0)).sum(axis=0)  # (K, A)
        return np.where(total > 0.0, summed / np.where(total > 0.0, total, 1.0), np.nan)

    def _predictions(self, times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """What each live chunk asks for at ``times_ns`` (K,) -> (C, K, A)."""
        chunks = [live.chunk for live in self._live]
        if len({len(chunk.actions) for chunk in chunks}) == 1:
            return actions_at(chunks, times_ns)
        return np.stack([chunk.at(times_ns) for chunk in chunks])

    def _comparable(
        self, times_ns: NDArray[np.int64], values: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The values (C, K, A), with angles at the turn nearest to the newest, and which of them count."""
        until_ns = np.stack([live.until_ns for live in self._live])  # (C, A)
        valid = ~np.isnan(values) & (times_ns[None, :, None] < until_ns[:, None, :])  # (C, K, A)
        if self.settings.continuous.any():
            newest = np.where(valid, np.arange(len(values))[:, None, None], -1).max(axis=0)  # (K, A)
            reference = np.take_along_axis(values, newest[None], axis=0)  # (1, K, A)
            values = nearest_turn(values, reference, self.settings.continuous)
        return values, valid

    def _taper(self, times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """A factor for each chunk's weight (C, K): falls linearly before its end, but stays above 0."""
        taper_ns = self.settings.taper_ns
        share = [
            (live.chunk.end_ns - times_ns + live.chunk.period_ns) / (taper_ns + live.chunk.period_ns)
            for live in self._live
        ]
        return np.clip(np.stack(share), 0.0, 1.0) if taper_ns else np.ones((len(share), len(times_ns)))

    def _weights(self, valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The weights of the valid predictions by age, (C, K, A)."""
        rank = np.cumsum(valid, axis=0) - 1  # (C, K, A) 0 for the oldest prediction of a time
        newest = rank == valid.sum(axis=0) - 1  # (C, K, A)
        if self.settings.mode is EnsembleMode.NEWEST:
            return newest.astype(np.float64)
        if self.settings.mode is EnsembleMode.NONE:
            return (rank == 0).astype(np.float64)
        weights = np.exp(-self.settings.temporal_ensemble_coeff * rank)  # (C, K, A)
        return np.where(self.settings.never_averaged, newest, weights)

    def _apply_disagreement_gate(self, times_ns: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Drop older chunks for coupled joints from the first knot where the predictions spread too far."""
        if self.settings.mode is not EnsembleMode.ACT or len(self._live) < 2:
            return
        values, valid = self._comparable(times_ns, values)  # (C, K, A) both
        highest = np.where(valid, values, -np.inf).max(axis=0)  # (K, A)
        lowest = np.where(valid, values, np.inf).min(axis=0)  # (K, A)
        too_far = highest - lowest > self.settings.max_disagreement  # (K, A)
        too_far &= ~self.settings.never_averaged
        for group in np.unique(self.settings.coupling):
            members = self.settings.coupling == group  # (A,)
            knots = np.flatnonzero(too_far[:, members].any(axis=1))
            if not len(knots):
                continue
            self.disagreements += 1
            for live in self._live[:-1]:
                live.until_ns[members] = np.minimum(live.until_ns[members], times_ns[knots[0]])

# SPDX-License-Identifier: Apache-2.0
"""The range of states that a policy was trained on, and what to do with a state outside it.

A network does not know how to act in a state far from all that it has seen, and it does not say so. Worst is
a joint that rested in the data: its range is tiny, so that a reading off by 0.1 mrad is thousands in
normalised units, and changes what the *other* joints do. So states are limited to the range, or nearly so,
before they are normalised, and those that are much too far outside stop the motion.

All thresholds are shares of a typical joint's range in the data, because the unit is not known here: rad, m
or degrees. Shapes: S observation steps, D state entries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.core.errors import CheckpointError, StreamError
from dit_policy_ros.policy.config import NormalizationMode
from dit_policy_ros.policy.processing._normalize import LOW_HIGH

RESTING = 0.01
"""An entry with less than this share of a typical range rested: 15 mrad where joints move by 1.5 rad."""
MARGIN = 1.0
"""A moving entry may be this share of its own range outside it, before it is limited."""
FAR = 2.0
"""Further outside than this many ranges is too far; a range counts as 0.1 to 1 of a typical one."""
_NARROWEST, _WIDEST = 0.1, 1.0
_MOVES = 0.02  # share of the largest range from which an entry says what is typical
_SIGMAS = 3.0  # half of the range, where only mean and standard deviation are known
_ROUNDING = 1.01  # statistics that were raised to RESTING are float32


@dataclass(frozen=True, slots=True)
class UnseenEntry:
    """A state entry outside the training range."""

    entry: int
    value: float
    low: float  # the training range
    high: float
    outside: float  # distance to the range
    is_far: bool  # too far to go on

    def describe(self, names: Sequence[str]) -> str:
        """In words, with the joint's name if ``names`` has one."""
        name = names[self.entry] if self.entry < len(names) else f"state entry {self.entry}"
        return (
            f"{name} is at {self.value:.4g}, which is {self.outside:.3g} outside the range of the training "
            f"data, {self.low:.4g} to {self.high:.4g}"
        )


def describe_unseen(unseen: Sequence[UnseenEntry], names: Sequence[str]) -> str:
    """What of a state is outside the training range, in words; empty if nothing is.

    Args:
        unseen: from ``StateRange.unseen``.
        names: of the state's entries, if known.
    """
    return "; ".join(entry.describe(names) for entry in unseen)


def refuse_far(unseen: Sequence[UnseenEntry], names: Sequence[str]) -> None:
    """Raise StreamError if an entry is too far outside the training range; arguments as above."""
    if any(entry.is_far for entry in unseen):
        raise StreamError(
            f"state: {describe_unseen(unseen, names)}. The policy has never seen anything like it, and what "
            "it would do is arbitrary. Bring the robot back into that range, record demonstrations there, or "
            "set unseen_state to 'limit': the policy then sees the nearest state that it knows"
        )


@dataclass(frozen=True, slots=True, eq=False)
class StateRange:
    """The training range of each state entry, and where states are limited."""

    low: NDArray[np.float32]  # (D,)
    high: NDArray[np.float32]  # (D,)

    @classmethod
    def of(cls, stats: Mapping[str, Tensor], length: int, mode: NormalizationMode) -> "StateRange":
        """The range of a state, from its statistics; infinite if they do not say.

        Args:
            stats: by name, each (D,).
            length: D.
            mode: how the state is normalised.

        Raises:
            CheckpointError: a smallest value is above the largest.
        """
        used = LOW_HIGH.get(mode, ("min", "max"))
        pairs = [
            (_array(stats[low]), _array(stats[high]))
            for low, high in (("min", "max"), used)
            if _has(stats, low, length) and _has(stats, high, length)
        ]
        for low, high in pairs:
            if (low > high).any():
                entry = int(np.argmax(low > high))
                raise CheckpointError(
                    f"statistics of the state: expected a smallest value of at most the largest, got "
                    f"{low[entry]:g} and {high[entry]:g} at entry {entry}"
                )
        if pairs:
            (low, high), (inner_low, inner_high) = pairs[0], pairs[-1]
            # A joint that rested nearly always: it is divided by its quantiles' distance, next to nothing.
            is_narrow = inner_high - inner_low <= _least_span(high - low)
            return cls(np.where(is_narrow, inner_low, low), np.where(is_narrow, inner_high, high))
        if _has(stats, "mean", length) and _has(stats, "std", length):
            mean, reach = _array(stats["mean"]), _array(_SIGMAS * stats["std"])
            return cls(mean - reach, mean + reach)
        infinite = np.full(length, np.inf, np.float32)
        return cls(-infinite, infinite)

    @property
    def centre(self) -> NDArray[np.float32]:
        """A state (D,) in the middle of the range; 0 where that is infinite."""
        low, high = (np.nan_to_num(each, posinf=0.0, neginf=0.0) for each in (self.low, self.high))
        return (low + high).astype(np.float32) / np.float32(2)

    @property
    def resting(self) -> NDArray[np.bool_]:
        """The entries (D,) that rested in the data."""
        return self.high - self.low <= _ROUNDING * _least_span(self.high - self.low)

    def limit(self, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """The nearest state that the policy knows or may be asked to extrapolate to; (..., D), same shape.

        Resting entries are limited to the training range, others to MARGIN ranges around it.
        """
        margin = np.where(self.resting, 0.0, MARGIN * (self.high - self.low)).astype(np.float32)  # (D,)
        return np.clip(state, self.low - margin, self.high + margin)

    def unseen(self, state: NDArray[np.float32]) -> list[UnseenEntry]:
        """The entries of a state (D,) that ``limit`` changes by more than noise, the furthest first."""
        span = self.high - self.low  # (D,)
        typical = typical_span(span)
        width = np.clip(span, _NARROWEST * typical, _WIDEST * typical)
        outside = np.maximum(np.maximum(self.low - state, state - self.high), 0.0)
        allowed = np.where(self.resting, _least_span(span), np.minimum(MARGIN * span, FAR * width))
        found = [
            UnseenEntry(
                int(i),
                float(state[i]),
                float(self.low[i]),
                float(self.high[i]),
                float(outside[i]),
                bool(outside[i] > FAR * width[i]),
            )
            for i in np.flatnonzero(outside > allowed)
        ]
        return sorted(found, key=lambda each: -each.outside / width[each.entry])


def typical_span(span: NDArray[np.floating]) -> float:
    """The median range of the entries that move, of ranges (D,); 1 if none does."""
    finite = span[np.isfinite(span)]
    largest = finite.max(initial=0.0)
    return float(np.median(finite[finite >= _MOVES * largest])) if largest > 0.0 else 1.0


def raise_resting(stats: Mapping[str, Tensor], keep_constants: bool = False) -> dict[str, Tensor]:
    """Statistics with a least range, for training: what varies less than that is noise to the network.

    Statistics of a vector without ``min`` and ``max``, and those of unknown names, stay as they are.

    Args:
        stats: of one vector, by name, each (D,).
        keep_constants: leave entries that never change at all, as those of an action: they normalise to one
            value, and what the network makes of it is the constant again.
    """
    if "min" not in stats or "max" not in stats or stats["min"].ndim != 1:
        return dict(stats)
    low, high = stats["min"], stats["max"]
    least = _least_span((high - low).numpy())
    is_resting = high - low < least  # (D,)
    if keep_constants:
        is_resting &= high > low
    middle = (low + high) / 2
    low = torch.where(is_resting, middle - least / 2, low)
    high = torch.where(is_resting, middle + least / 2, high)
    raised = dict(stats) | {"min": low, "max": high}
    for first, second in LOW_HIGH.values():
        if first == "min" or first not in stats or second not in stats:
            continue
        # A gripper that is open for a moment moves, but not between its quantiles.
        is_narrow = (stats[second] - stats[first] < least) & (high > low)
        raised[first] = torch.where(is_narrow, low, stats[first])
        raised[second] = torch.where(is_narrow, high, stats[second])
    if "std" in stats:
        raised["std"] = torch.where(high > low, stats["std"].clamp(min=least / 4), stats["std"])
    return raised


def _least_span(span: NDArray[np.floating]) -> float:
    return RESTING * typical_span(span)


def _has(stats: Mapping[str, Tensor], name: str, length: int) -> bool:
    return name in stats and tuple(stats[name].shape) == (length,)


def _array(value: Tensor) -> NDArray[np.float32]:
    return value.detach().to("cpu", torch.float32).numpy()

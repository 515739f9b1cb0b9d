# SPDX-License-Identifier: Apache-2.0
"""The state of a policy that also reads further vectors: each part keeps its own statistics.

Joints, forces and efforts have other units and sizes. So each part is normalised by its own statistics and
mode, and limited to its own training range. Shapes: D entries of all parts, in their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.policy.processing._normalize import Normalizer
from dit_policy_ros.policy.processing._state_range import StateRange, UnseenEntry


@dataclass(frozen=True, slots=True)
class JoinedNormalizer:
    """Normalises the parts of a state (..., D), of which part i has ``lengths[i]`` entries."""

    parts: tuple[Normalizer, ...]
    lengths: tuple[int, ...]

    def normalize(self, x: Tensor) -> Tensor:
        """From the robot's units to the network's; same shape."""
        pairs = zip(self.parts, x.split(self.lengths, dim=-1), strict=True)
        return torch.cat([part.normalize(values) for part, values in pairs], dim=-1)

    def to(self, device: torch.device) -> "JoinedNormalizer":
        """A copy with the statistics on ``device``."""
        return JoinedNormalizer(tuple(part.to(device) for part in self.parts), self.lengths)


@dataclass(frozen=True, slots=True, eq=False)
class JoinedRange:
    """The training ranges of a state's parts; see StateRange, whose methods it has."""

    parts: tuple[StateRange, ...]

    @property
    def centre(self) -> NDArray[np.float32]:
        """See StateRange."""
        return np.concatenate([part.centre for part in self.parts])

    @property
    def resting(self) -> NDArray[np.bool_]:
        """See StateRange."""
        return np.concatenate([part.resting for part in self.parts])

    def limit(self, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """See StateRange."""
        pairs = zip(self.parts, np.split(state, self._starts[1:], axis=-1), strict=True)
        return np.concatenate([part.limit(values) for part, values in pairs], axis=-1)

    def unseen(self, state: NDArray[np.float32]) -> list[UnseenEntry]:
        """See StateRange; those of the first part come first."""
        pairs = zip(self.parts, self._starts, np.split(state, self._starts[1:]), strict=True)
        return [
            replace(entry, entry=entry.entry + start)
            for part, start, values in pairs
            for entry in part.unseen(values)
        ]

    @property
    def _starts(self) -> list[int]:
        """Where each part begins."""
        return [0, *np.cumsum([len(part.low) for part in self.parts[:-1]]).tolist()]


def join_normalizers(parts: Sequence[Normalizer], lengths: Sequence[int]) -> Normalizer | JoinedNormalizer:
    """One normaliser for the parts of a state: the only part's own, if there is one."""
    return parts[0] if len(parts) == 1 else JoinedNormalizer(tuple(parts), tuple(lengths))


def join_ranges(parts: Sequence[StateRange]) -> StateRange | JoinedRange:
    """One range for the parts of a state: the only part's own, if there is one."""
    return parts[0] if len(parts) == 1 else JoinedRange(tuple(parts))

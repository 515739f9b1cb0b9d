# SPDX-License-Identifier: Apache-2.0
"""Between the network's units, in which LeRobot's processors give and take, and the robot's.

Shapes: A action entries, D state entries, H and W pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dit_policy_ros.policy.config import NormalizationMode, PolicyConfig
from dit_policy_ros.policy.processing import (
    DEFAULT_EPS,
    JoinedNormalizer,
    JoinedRange,
    Normalizer,
    Processors,
    StateRange,
    action_origin,
    join_normalizers,
    join_ranges,
    make_normalizer,
)


@dataclass(frozen=True, slots=True)
class Scales:
    """How the processors scale what the policy reads and gives."""

    state: Normalizer | JoinedNormalizer
    state_range: StateRange | JoinedRange
    action: Normalizer
    images: Mapping[str, Normalizer]  # by ``observation.images.<name>``
    relative_entries: tuple[int, ...]
    action_dim: int  # A

    @classmethod
    def of_checkpoint(cls, processors: Processors, options: PolicyConfig) -> "Scales":
        """Those of a checkpoint's processors."""
        return cls(
            processors.state,
            processors.state_range,
            processors.action,
            processors.images,
            options.relative_entries,
            options.action_dim,
        )

    @classmethod
    def of_statistics(cls, stats: Mapping[str, Mapping[str, Tensor]], options: PolicyConfig) -> "Scales":
        """Those that LeRobot makes of a dataset's statistics. Raises CheckpointError if they do not say."""

        def scale(key: str) -> Normalizer:
            feature = {**options.input_features, **options.output_features}[key]
            mode = options.normalization_mapping.get(feature.type.value, NormalizationMode.IDENTITY)
            return make_normalizer(key, feature, mode, stats.get(key, {}), DEFAULT_EPS, "dataset statistics")

        parts = {key: scale(key) for key in options.state_parts}
        lengths = options.state_parts
        ranges = [StateRange.of(stats.get(key, {}), lengths[key], parts[key].mode) for key in parts]
        return cls(
            join_normalizers(tuple(parts.values()), tuple(lengths.values())),
            join_ranges(ranges),
            scale("action"),
            {key: scale(key) for key in options.image_features},
            options.relative_entries,
            options.action_dim,
        )

    def to(self, device: torch.device) -> "Scales":
        """A copy on a device."""
        return Scales(
            self.state.to(device),
            self.state_range,
            self.action.to(device),
            {key: scale.to(device) for key, scale in self.images.items()},
            self.relative_entries,
            self.action_dim,
        )

    def raw_state(self, state: Tensor) -> Tensor:
        """States (..., D) in the robot's units."""
        if isinstance(self.state, JoinedNormalizer):
            pairs = zip(self.state.parts, state.split(self.state.lengths, dim=-1), strict=True)
            return torch.cat([_undo(part, values) for part, values in pairs], dim=-1)
        return _undo(self.state, state)

    def known_state(self, state: Tensor) -> Tensor:
        """States (..., D), limited to the range of the training data as inference limits them."""
        raw = self.raw_state(state).cpu().numpy()
        limited = torch.from_numpy(self.state_range.limit(raw)).to(state.device)
        return self.state.normalize(limited)

    def pixels(self, key: str, images: Tensor) -> NDArray[np.uint8]:
        """Images (S, 3, H, W) as the camera gave them: uint8 (S, H, W, 3)."""
        shares = _undo(self.images[key], images)
        values = (shares * 255).round().clamp(0, 255).to(torch.uint8)
        return values.permute(0, 2, 3, 1).cpu().numpy()

    def origin(self, newest: Tensor) -> Tensor:
        """What relative actions are measured from, in the network's units: states (B, D) -> (B, 1, A)."""
        raw = action_origin(self.raw_state(newest), self.relative_entries, self.action_dim)  # (B, 1, A)
        zero = torch.zeros_like(raw)
        return self.action.normalize(raw) - self.action.normalize(zero)


def _undo(scale: Normalizer, values: Tensor) -> Tensor:
    """The exact inverse of ``normalize``; ``unnormalize`` leaves out LeRobot's eps, as LeRobot does."""
    if scale.mode is NormalizationMode.MEAN_STD:
        return values * (scale.std_or_high + scale.eps) + scale.mean_or_low
    return scale.unnormalize(values)

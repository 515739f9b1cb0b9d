# SPDX-License-Identifier: Apache-2.0
"""Scaling of states, images and actions, with the statistics and the formulas that LeRobot uses."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.config import Feature, FeatureType, NormalizationMode

LOW_HIGH: Mapping[NormalizationMode, tuple[str, str]] = {
    NormalizationMode.MIN_MAX: ("min", "max"),
    NormalizationMode.QUANTILES: ("q01", "q99"),
    NormalizationMode.QUANTILE10: ("q10", "q90"),
}
"""The two statistics that each mode maps to -1 and +1."""


@dataclass(frozen=True, slots=True)
class Normalizer:
    """Scales one feature and back.

    ``x`` has the feature's shape in its last axes; the statistics broadcast against them: (D,) for vectors,
    (C, 1, 1) for images.
    """

    mode: NormalizationMode
    first: Tensor  # mean or low; a scalar 0 for IDENTITY
    second: Tensor  # std or high; a scalar 1 for IDENTITY
    eps: float

    def normalize(self, x: Tensor) -> Tensor:
        """Robot units to the network's units; same shape."""
        if self.mode is NormalizationMode.IDENTITY:
            return x
        if self.mode is NormalizationMode.MEAN_STD:
            return (x - self.first) / (self.second + self.eps)
        return 2 * (x - self.first) / self._span() - 1

    def unnormalize(self, y: Tensor) -> Tensor:
        """The network's units to robot units; same shape."""
        if self.mode is NormalizationMode.IDENTITY:
            return y
        if self.mode is NormalizationMode.MEAN_STD:
            return y * self.second + self.first
        return (y + 1) / 2 * self._span() + self.first

    def _span(self) -> Tensor:
        span = self.second - self.first
        # An entry that never moved in the data: LeRobot divides by eps there, which maps its value to -1.
        return torch.where(span == 0, torch.full_like(span, self.eps), span)

    def to(self, device: torch.device) -> "Normalizer":
        """A copy whose statistics lie on ``device``."""
        return Normalizer(self.mode, self.first.to(device), self.second.to(device), self.eps)


def make_normalizer(
    key: str, feature: Feature, mode: NormalizationMode, stats: Mapping[str, Tensor], eps: float, source: str
) -> Normalizer:
    """Pick the statistics that ``mode`` needs and check them.

    Args:
        key: the feature's name, e.g. ``observation.state``.
        feature: its type and shape.
        mode: how it is scaled.
        stats: what the checkpoint knows of this feature, by statistic.
        eps: what LeRobot adds or substitutes against division by zero.
        source: the file's name for messages.

    Raises:
        CheckpointError: a statistic is missing, has another shape, or is not finite.
    """
    if mode is NormalizationMode.IDENTITY:
        return Normalizer(mode, torch.zeros(()), torch.ones(()), eps)
    names = ("mean", "std") if mode is NormalizationMode.MEAN_STD else LOW_HIGH[mode]
    missing = [name for name in names if name not in stats]
    if missing:
        raise CheckpointError(
            f"{source}: {key} is normalised with {mode.value}, which needs {' and '.join(names)}; "
            f"missing: {', '.join(f'{key}.{name}' for name in missing)}; "
            f"present: {', '.join(sorted(stats)) or 'nothing'}"
        )
    first, second = (_broadcastable(key, name, feature, stats[name], source) for name in names)
    return Normalizer(mode, first, second, eps)


def _broadcastable(key: str, name: str, feature: Feature, value: Tensor, source: str) -> Tensor:
    value = value.to(torch.float32)
    if feature.type is FeatureType.VISUAL:
        expected = (feature.shape[0], 1, 1)
        if value.ndim == 1:
            value = value.reshape(-1, 1, 1)
    else:
        expected = feature.shape
    if tuple(value.shape) != expected:
        raise CheckpointError(f"{source}: {key}.{name}: expected shape {expected}, got {tuple(value.shape)}")
    if not torch.isfinite(value).all():
        raise CheckpointError(
            f"{source}: {key}.{name}: expected finite numbers, got {value.flatten().tolist()}"
        )
    return value

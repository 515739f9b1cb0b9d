# SPDX-License-Identifier: Apache-2.0
"""Normalises states, images and actions with LeRobot's statistics and formulas."""

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
"""The two statistics that a mode maps to -1 and +1."""


@dataclass(frozen=True, slots=True)
class Normalizer:
    """Normalises one feature, and undoes it.

    Values have the feature's shape in their last axes. Statistics are (D,) for vectors, (C, 1, 1) for images.
    """

    mode: NormalizationMode
    mean_or_low: Tensor  # a scalar 0 for IDENTITY
    std_or_high: Tensor  # a scalar 1 for IDENTITY
    eps: float

    def normalize(self, x: Tensor) -> Tensor:
        """From robot units to the network's units; same shape."""
        if self.mode is NormalizationMode.IDENTITY:
            return x
        if self.mode is NormalizationMode.MEAN_STD:
            return (x - self.mean_or_low) / (self.std_or_high + self.eps)
        return 2 * (x - self.mean_or_low) / self._span() - 1

    def unnormalize(self, y: Tensor) -> Tensor:
        """From the network's units to robot units; same shape."""
        if self.mode is NormalizationMode.IDENTITY:
            return y
        if self.mode is NormalizationMode.MEAN_STD:
            return y * self.std_or_high + self.mean_or_low
        return (y + 1) / 2 * self._span() + self.mean_or_low

    def _span(self) -> Tensor:
        span = self.std_or_high - self.mean_or_low
        # An entry that is constant in the data: LeRobot divides by eps, which maps the constant to -1.
        return torch.where(span == 0, torch.full_like(span, self.eps), span)

    def to(self, device: torch.device) -> "Normalizer":
        """A copy with the statistics on ``device``."""
        return Normalizer(self.mode, self.mean_or_low.to(device), self.std_or_high.to(device), self.eps)


def make_normalizer(
    key: str, feature: Feature, mode: NormalizationMode, stats: Mapping[str, Tensor], eps: float, source: str
) -> Normalizer:
    """Select the statistics that ``mode`` needs, and check them.

    Args:
        key: the feature's name, e.g. ``observation.state``.
        feature: its type and shape.
        mode: how it is normalised.
        stats: the feature's statistics, by name.
        eps: added to the std; replaces high - low where that is 0.
        source: the file's name for messages.

    Raises:
        CheckpointError: a statistic is missing, has the wrong shape, is not finite, or contradicts another.
    """
    if not eps > 0.0:
        raise CheckpointError(f"{source}: eps: expected more than 0, got {eps}; entries may be constant")
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
    if mode is NormalizationMode.MEAN_STD:
        _check_entries(second < 0, f"{source}: {key}.{names[1]}: expected 0 or more", second)
    else:
        _check_entries(
            first > second, f"{source}: {key}.{names[0]}: expected at most {key}.{names[1]}", first
        )
        _check_entries((second - first).isinf(), f"{source}: {key}: expected a range of float32", second)
    return Normalizer(mode, first, second, eps)


def _check_entries(is_bad: Tensor, expectation: str, values: Tensor) -> None:
    if is_bad.any():
        entries = is_bad.flatten().nonzero().flatten().tolist()
        found = ", ".join(f"{values.flatten()[entry]:g} at entry {entry}" for entry in entries)
        raise CheckpointError(f"{expectation}, got {found}")


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

# SPDX-License-Identifier: Apache-2.0
"""Regression of known quantities of stills, shared by both pretext tasks.

Shapes: M stills, G quantities.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

HELD_OUT = 0.05  # share of the stills, the last ones
_BETA = 0.1  # [standard deviations] larger errors count linearly, so that hidden objects do not dominate

type Report = Callable[[int, float], None]  # called with step and loss


@dataclass(frozen=True, slots=True)
class PretextSettings:
    """How a pretext task is optimised."""

    steps: int
    batch_size: int
    learning_rate: float  # peak
    weight_decay: float
    seed: int = 0  # of the batches and the linear layer


@dataclass(frozen=True, slots=True)
class Targets:
    """What a linear layer must predict, e.g. positions [m]. The loss scales each to unit variance."""

    values: NDArray[np.float32]  # (M, ..., G); NaN if unknown
    weights: NDArray[np.float32] | None = None  # (G,) in the loss; None: all 1


class RegressionLoss:
    """Weighted smooth L1 loss over the known targets, in standard deviations."""

    def __init__(self, targets: Targets, device: torch.device) -> None:
        """Compute the targets' means and standard deviations."""
        values = targets.values
        weights = np.ones(values.shape[-1], np.float32) if targets.weights is None else targets.weights
        axes = tuple(range(values.ndim - 1))
        self.values = torch.from_numpy(values).to(device)  # (M, ..., G)
        self.mean, self.std = (
            torch.from_numpy(moment(values, axis=axes)).to(device) for moment in (np.nanmean, np.nanstd)
        )  # (G,)
        self._weights = torch.from_numpy(weights).to(device)  # (G,)

    def __call__(self, predicted: Tensor, wanted: Tensor) -> Tensor:
        """Loss of normalised predictions (B, G) for targets (B, G) in their own unit."""
        normalized = (wanted - self.mean) / self.std  # (B, G)
        is_known = normalized.isfinite()
        errors = functional.smooth_l1_loss(
            predicted, torch.where(is_known, normalized, predicted.detach()), reduction="none", beta=_BETA
        )
        return (self._weights * errors).sum() / is_known.sum()

    def absolute_errors(self, predicted: Tensor, first: int) -> NDArray[np.float32]:
        """Errors in the targets' unit of normalised predictions for the stills from ``first`` on."""
        return (predicted * self.std + self.mean - self.values[first:]).abs().numpy(force=True)

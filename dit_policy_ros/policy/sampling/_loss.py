# SPDX-License-Identifier: Apache-2.0
"""The regression losses that both objectives share."""

from collections.abc import Callable

import torch
from torch import Tensor

type Deviation = Callable[[Tensor], Tensor]  # what an error (B, T, A) costs, (B, T, A)

# How training may count errors. Squares, as in LeRobot, are ruled by the largest: those of fast motions, and
# of when they begin. Absolute errors weigh the last centimetre before a grasp as much (Zhao et al. 2023,
# arXiv 2304.13705, section IV.C, which reports more precise actions).
DEVIATIONS: dict[str, Deviation] = {"mse": torch.square, "l1": torch.abs}


def masked_mean(deviation: Deviation, predicted: Tensor, target: Tensor, is_pad: Tensor | None) -> Tensor:
    """The mean deviation over all entries, or over the steps that are not padding.

    Args:
        deviation: what an error costs.
        predicted: (B, T, A).
        target: (B, T, A).
        is_pad: bool (B, T), true where the episode had ended; None counts every step.

    Returns:
        A scalar.
    """
    cost = deviation(predicted - target)
    if is_pad is None:
        return cost.mean()
    valid = ~is_pad.unsqueeze(-1)  # (B, T, 1)
    return (cost * valid).sum() / (valid.sum() * cost.shape[-1]).clamp_min(1)

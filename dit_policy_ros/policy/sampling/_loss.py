# SPDX-License-Identifier: Apache-2.0
"""The regression losses that both objectives share."""

from collections.abc import Callable

import torch
from torch import Tensor

type ElementwiseLoss = Callable[[Tensor], Tensor]  # prediction error (B, T, A) -> losses (B, T, A)

ELEMENTWISE_LOSSES: dict[str, ElementwiseLoss] = {"mse": torch.square, "l1": torch.abs}
"""LeRobot uses mse. The largest errors dominate it: those of fast motions and of the moment they begin.

l1 gives more weight to small errors, such as those in the last centimetre before a grasp. Zhao et al. 2023
(arXiv 2304.13705, section IV.C) report more precise actions with it.
"""


def masked_mean(
    loss: ElementwiseLoss,
    predicted: Tensor,
    target: Tensor,
    is_pad: Tensor | None,
    has_entry: Tensor | None = None,
) -> Tensor:
    """The mean loss over all entries, or over the steps that are not padding and the entries that there are.

    Args:
        loss: computes the loss of each entry.
        predicted: (B, T, A).
        target: (B, T, A).
        is_pad: bool (B, T), true for steps after the end of the episode; None counts every step.
        has_entry: bool (B, A), false for entries that the example's robot does not have; None counts all.

    Returns:
        A scalar.
    """
    losses = loss(predicted - target)
    if has_entry is not None:
        counted = has_entry.unsqueeze(1).expand_as(losses)  # (B, T, A)
        if is_pad is not None:
            counted = counted & ~is_pad.unsqueeze(-1)
        return (losses * counted).sum() / counted.sum().clamp_min(1)
    if is_pad is None:
        return losses.mean()
    valid = ~is_pad.unsqueeze(-1)  # (B, T, 1)
    return (losses * valid).sum() / (valid.sum() * losses.shape[-1]).clamp_min(1)

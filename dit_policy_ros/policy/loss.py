# SPDX-License-Identifier: Apache-2.0
"""The regression loss that both objectives share."""

from torch import Tensor
from torch.nn import functional


def masked_mse(predicted: Tensor, target: Tensor, is_pad: Tensor | None) -> Tensor:
    """Mean squared error over all entries, or over the steps that are not padding.

    Args:
        predicted: (B, T, A).
        target: (B, T, A).
        is_pad: bool (B, T), true where the episode had ended; None counts every step.

    Returns:
        A scalar.
    """
    error = functional.mse_loss(predicted, target, reduction="none")
    if is_pad is None:
        return error.mean()
    valid = ~is_pad.unsqueeze(-1)  # (B, T, 1)
    return (error * valid).sum() / (valid.sum() * error.shape[-1]).clamp_min(1)

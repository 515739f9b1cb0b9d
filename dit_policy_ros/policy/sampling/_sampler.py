# SPDX-License-Identifier: Apache-2.0
"""What a sampler sees of a network: one function of the noisy actions and the time.

Shapes: B batch, T horizon, A action entries.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Predict = Callable[[Tensor, float], Tensor]
"""Noisy actions (B, T, A) and a time, an integer diffusion step or a flow time in [0, 1] -> (B, T, A)."""

Constrain = Callable[[Tensor, float], Tensor]
"""What to make of actions (B, T, A) that have just arrived at a time; below 0 a diffusion step is the end."""


def predictor(network: nn.Module, observation: Tensor) -> Predict:
    """The plain network under one observation, (B, C) or tokens (B, K, H)."""

    def predict(x: Tensor, t: float) -> Tensor:
        return network(x, time_tensor(t, x.shape[0], x), observation)

    return predict


def time_tensor(t: float, batch: int, like: Tensor) -> Tensor:
    """The time as networks take it: (B,), long for a diffusion step, else of the type of ``like``."""
    dtype = torch.long if isinstance(t, int) else like.dtype
    return torch.full((batch,), t, dtype=dtype, device=like.device)

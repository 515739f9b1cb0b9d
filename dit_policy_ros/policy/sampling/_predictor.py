# SPDX-License-Identifier: Apache-2.0
"""The two functions that a sampler works with: the network's prediction, and a constraint on each step.

Shapes: B batch, T horizon, A action entries.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Predictor = Callable[[Tensor, float], Tensor]
"""Noisy actions (B, T, A) and a time -> the network's prediction (B, T, A).

The time is an integer diffusion step, or a flow time in [0, 1]. The prediction is noise, clean actions or a
velocity, depending on the objective.
"""

Constraint = Callable[[Tensor, float], Tensor]
"""The sample (B, T, A) after a step and the time it has reached -> the constrained sample (B, T, A).

After the last diffusion step the time is negative.
"""


def make_predictor(network: nn.Module, observation: Tensor) -> Predictor:
    """The network conditioned on one observation, (B, C) or tokens (B, K, H)."""

    def predict(x: Tensor, t: float) -> Tensor:
        return network(x, time_tensor(t, x.shape[0], x), observation)

    return predict


def time_tensor(t: float, batch: int, like: Tensor) -> Tensor:
    """The time as a tensor (B,) on the device of ``like``: long for a diffusion step, else its dtype."""
    dtype = torch.long if isinstance(t, int) else like.dtype
    return torch.full((batch,), t, dtype=dtype, device=like.device)

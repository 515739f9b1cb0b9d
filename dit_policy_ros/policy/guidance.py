# SPDX-License-Identifier: Apache-2.0
"""Classifier-free guidance: follow the instruction more, or less, than the network alone would.

Ho and Salimans 2022 (arXiv 2207.12598), equation 6, with scale s = 1 + w: eps = eps_u + s (eps_c - eps_u).
The same line serves the other two predictions. x_0 = (x_t - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar) is
affine in eps at a given x_t, and the weights s and 1 - s sum to one, so combining clean predictions is
combining noises; velocities are combined in just this way by Zheng et al. 2023 (arXiv 2311.13443).

Shapes: B batch, T horizon, A action entries.
"""

import math

import torch
from torch import Tensor, nn

from dit_policy_ros.core.errors import CheckpointError

NO_GUIDANCE = 1.0


class GuidedNetwork(nn.Module):
    """Evaluates with and without the instruction in one batch and extrapolates from one to the other."""

    def __init__(self, network: nn.Module, scale: float) -> None:
        super().__init__()
        self.network = network
        self.scale = scale

    def forward(self, x: Tensor, time: Tensor, observation: Tensor) -> Tensor:
        """(B, T, A), (B,), (2 B, ...) -> (B, T, A).

        The second half of ``observation`` is the first half with the empty instruction.
        """
        both = self.network(torch.cat((x, x)), torch.cat((time, time)), observation)  # (2 B, T, A)
        conditional, unconditional = both.chunk(2)
        return unconditional + self.scale * (conditional - unconditional)


def check_guidance_scale(value: object) -> float:
    """The scale as a float; CheckpointError for what is none, is not finite or is negative."""
    # Written so that NaN fails.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.0 <= value < math.inf:
        raise CheckpointError(
            f"load_policy: guidance_scale: expected a finite number, 0 or more (1.0 is off), got {value!r}"
        )
    return float(value)

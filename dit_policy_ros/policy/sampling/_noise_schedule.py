# SPDX-License-Identifier: Apache-2.0
"""Noise schedules of the diffusion process, as in ``diffusers``.

alpha_bar is as in Ho et al. 2020 (arXiv 2006.11239): the cumulative product of 1 - beta, the share of the
signal's variance that is left at a step.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from dit_policy_ros.policy.config import PolicyConfig

MAX_BETA = 0.999


def cosine_alpha_bar(s: float) -> float:
    """The cosine schedule at s = t / steps in [0, 1], up to a constant factor.

    Nichol and Dhariwal 2021 (arXiv 2102.09672), equation 17.
    """
    return math.cos((s + 0.008) / 1.008 * math.pi / 2) ** 2


def laplace_alpha_bar(s: float) -> float:
    """The Laplace schedule at s = t / steps in [0, 1], after Hang and Gu 2024 (arXiv 2407.03297).

    The log signal-to-noise ratio has a Laplace distribution over the steps. The square root is that of
    ``diffusers``.
    """
    centred = 0.5 - s
    log_snr = -0.5 * math.copysign(1.0, centred) * math.log(1 - 2 * abs(centred) + 1e-6)
    return math.sqrt(math.exp(log_snr) / (1 + math.exp(log_snr)))


def betas_for_alpha_bar(alpha_bar: Callable[[float], float], steps: int) -> Tensor:
    """Betas (steps,), each at most MAX_BETA, whose cumulative product of 1 - beta is ``alpha_bar``."""
    levels = [alpha_bar(i / steps) for i in range(steps + 1)]
    betas = [min(1 - after / before, MAX_BETA) for before, after in pairwise(levels)]
    return torch.tensor(betas, dtype=torch.float32)


def alphas_cumprod(config: PolicyConfig) -> Tensor:
    """alpha_bar_t of every step t (num_train_timesteps,) float32."""
    start, end, steps = config.beta_start, config.beta_end, config.num_train_timesteps
    match config.beta_schedule:
        case "linear":
            betas = torch.linspace(start, end, steps, dtype=torch.float32)
        case "scaled_linear":
            betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float32) ** 2
        case "squaredcos_cap_v2":
            betas = betas_for_alpha_bar(cosine_alpha_bar, steps)
        case "laplace":
            betas = betas_for_alpha_bar(laplace_alpha_bar, steps)
        case "sigmoid":
            betas = torch.sigmoid(torch.linspace(-6, 6, steps)) * (end - start) + start
    return torch.cumprod(1.0 - betas, dim=0)


def leading_timesteps(train_steps: int, inference_steps: int) -> list[int]:
    """The diffusion steps that sampling visits, evenly spaced and falling to 0 ("leading" spacing)."""
    stride = train_steps // inference_steps
    return [i * stride for i in reversed(range(inference_steps))]

# SPDX-License-Identifier: Apache-2.0
"""Noise levels of the diffusion process, as ``diffusers`` defines them."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from dit_policy_ros.policy.config import PolicyConfig

MAX_BETA = 0.999


def cosine_survival(s: float) -> float:
    """Nichol and Dhariwal 2021 (arXiv 2102.09672), equation 17 without the constant factor; s in [0, 1]."""
    return math.cos((s + 0.008) / 1.008 * math.pi / 2) ** 2


def laplace_survival(s: float) -> float:
    """Hang and Gu 2024 (arXiv 2407.03297): log signal-to-noise ratio drawn from a Laplace distribution."""
    centred = 0.5 - s
    log_snr = -0.5 * math.copysign(1.0, centred) * math.log(1 - 2 * abs(centred) + 1e-6)
    return math.sqrt(math.exp(log_snr) / (1 + math.exp(log_snr)))


def betas_from_survival(alpha_bar: Callable[[float], float], steps: int) -> Tensor:
    """Betas (steps,) whose cumulative product of 1 - beta follows ``alpha_bar``, each at most 0.999."""
    levels = [alpha_bar(i / steps) for i in range(steps + 1)]
    betas = [min(1 - after / before, MAX_BETA) for before, after in pairwise(levels)]
    return torch.tensor(betas, dtype=torch.float32)


def alphas_cumprod(config: PolicyConfig) -> Tensor:
    """alpha_bar_t (num_train_timesteps,) float32: the share of signal left at step t."""
    start, end, steps = config.beta_start, config.beta_end, config.num_train_timesteps
    match config.beta_schedule:
        case "linear":
            betas = torch.linspace(start, end, steps, dtype=torch.float32)
        case "scaled_linear":
            betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float32) ** 2
        case "squaredcos_cap_v2":
            betas = betas_from_survival(cosine_survival, steps)
        case "laplace":
            betas = betas_from_survival(laplace_survival, steps)
        case "sigmoid":
            betas = torch.sigmoid(torch.linspace(-6, 6, steps)) * (end - start) + start
    return torch.cumprod(1.0 - betas, dim=0)


def leading_timesteps(train_steps: int, inference_steps: int) -> list[int]:
    """The evenly spaced steps that are visited, falling to 0 ("leading" spacing)."""
    stride = train_steps // inference_steps
    return [i * stride for i in reversed(range(inference_steps))]

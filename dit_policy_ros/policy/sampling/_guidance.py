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
from torch import Tensor

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.sampling._sampler import Predict

NO_GUIDANCE = 1.0


def guided(predict: Predict, scale: float) -> Predict:
    """Evaluate with and without the instruction in one batch and extrapolate from one to the other.

    Args:
        predict: of 2 B actions, of which the second half are the first with the empty instruction.
        scale: 1.0 follows the instruction as the network does.

    Returns:
        The prediction for B actions.
    """

    def combined(x: Tensor, t: float) -> Tensor:
        conditional, unconditional = predict(torch.cat((x, x)), t).chunk(2)
        return unconditional + scale * (conditional - unconditional)

    return combined


def check_guidance_scale(value: object) -> float:
    """The scale as a float; CheckpointError for what is none, is not finite or is negative."""
    # Written so that NaN fails.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.0 <= value < math.inf:
        raise CheckpointError(
            f"load_policy: guidance_scale: expected a finite number, 0 or more (1.0 is off), got {value!r}"
        )
    return float(value)

# SPDX-License-Identifier: Apache-2.0
"""Classifier-free guidance: follow the instruction more, or less, closely than the network does on its own.

Ho and Salimans 2022 (arXiv 2207.12598), equation 6, written with the scale s = 1 + w:
eps = eps_u + s (eps_c - eps_u), where c is the prediction with the instruction and u the one without.

The same line serves the other two kinds of prediction:

- Clean actions: x_0 = (x_t - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar) is affine in eps for a given x_t, and
  the weights s and 1 - s add up to one. So combining clean actions equals combining noise.
- Velocities: Zheng et al. 2023 (arXiv 2311.13443) combine them in the same way.

Shapes: B batch, T horizon, A action entries.
"""

import math

import torch
from torch import Tensor

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.sampling._predictor import Predictor

GUIDANCE_OFF = 1.0
"""The scale at which the prediction is the network's own."""


def classifier_free_guidance(predict: Predictor, scale: float) -> Predictor:
    """Predict with and without the instruction in one batch, and extrapolate from the second to the first.

    Args:
        predict: predicts for 2 B actions; the second half of its observations has the empty instruction.
        scale: s of equation 6; 1.0 is the network's own prediction with the instruction.

    Returns:
        The guided prediction for B actions.
    """

    def guided(x: Tensor, t: float) -> Tensor:
        conditional, unconditional = predict(torch.cat((x, x)), t).chunk(2)
        return unconditional + scale * (conditional - unconditional)

    return guided


def check_guidance_scale(value: object) -> float:
    """Return the scale as a float; raise CheckpointError unless it is a finite number, 0 or more."""
    # Written so that NaN fails.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.0 <= value < math.inf:
        raise CheckpointError(
            f"load_policy: guidance_scale: expected a finite number, 0 or more (1.0 is off), got {value!r}"
        )
    return float(value)

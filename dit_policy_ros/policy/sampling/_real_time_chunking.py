# SPDX-License-Identifier: Apache-2.0
"""Real-time chunking: sample a chunk that continues the actions being executed.

While a chunk is inferred the robot executes the previous one, so the first rows of the new chunk are already
in the past when it arrives. A chunk sampled on its own may follow another mode: go left where the robot has
begun to go right. Blending the two then commands a motion through the middle. Real-time chunking instead
makes the previous actions, the prefix, part of the sampling:

- Flow matching: guidance, Black et al. 2025 (arXiv 2506.07339), algorithm 1, after Pokle et al. 2023 (arXiv
  2310.04432). Committed rows have full weight; the weights of the later rows decay.
- Diffusion: inpainting. After each step some rows are replaced by the prefix with that step's noise (Lugmayr
  et al. 2022, arXiv 2201.09865), and the network completes the others. Committed rows are replaced at every
  step. Later rows are replaced only at high noise levels, where a sample chooses its mode, as in Levin and
  Fried 2023 (arXiv 2306.00950); the nearer a row is to the committed ones, the longer. This takes the place
  of Lugmayr's resampling, which costs many more steps.

Shapes: B batch, T horizon, A action entries.
"""

import math

import torch
from torch import Tensor

from dit_policy_ros.policy.sampling._diffusion import DiffusionObjective
from dit_policy_ros.policy.sampling._predictor import Constraint, Predictor
from dit_policy_ros.policy.sampling._previous_chunk import ActionPrefix

MAX_GUIDANCE_WEIGHT = 5.0
"""The largest guidance weight (beta in arXiv 2506.07339, which uses 5). Without it the weight at time 0 is
infinite."""


def linear_decay(prefix: ActionPrefix) -> Tensor:
    """How strongly each row follows the prefix (T, 1): 1 if committed, then falling linearly to 0 at its end.

    c_i of arXiv 2506.07339, equation 5.
    """
    rows = torch.arange(len(prefix.is_known), device=prefix.actions.device)  # (T,)
    end = int(prefix.is_known.nonzero().max()) + 1
    committed = min(prefix.committed, end)
    decay = (end - rows) / (end - committed + 1)  # (T,)
    return torch.where(rows < committed, 1.0, decay.clamp(min=0.0))[:, None]


def prefix_weights(prefix: ActionPrefix) -> Tensor:
    """The guidance weight of each row, W of arXiv 2506.07339, equation 5 (T, 1)."""
    decay = linear_decay(prefix)  # (T, 1)
    return decay * torch.where(decay == 1, 1.0, torch.expm1(decay) / (math.e - 1))


def prefix_guidance(predict: Predictor, prefix: ActionPrefix) -> Predictor:
    """Guide the velocity towards samples that agree with the prefix.

    Each evaluation also differentiates ``predict``, so the network must support gradients of its input.
    """
    weights = prefix_weights(prefix)  # (T, 1)

    def velocity(x: Tensor, t: float) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            v = predict(x, t)
            x_1 = x + (1 - t) * v  # (B, T, A) estimate of the clean actions: one Euler step to time 1
            error = ((prefix.actions - x_1) * weights).detach()
            (correction,) = torch.autograd.grad(x_1, x, error)
        return v.detach() + guidance_weight(t) * correction

    return velocity


def guidance_weight(t: float) -> float:
    """min(beta, (1 - t) / (t r^2)) with r^2 = (1 - t)^2 / (t^2 + (1 - t)^2), for a time t in [0, 1].

    arXiv 2506.07339, equations 2 and 4; beta is MAX_GUIDANCE_WEIGHT.
    """
    spread = t * (1 - t)
    return min(MAX_GUIDANCE_WEIGHT, (t**2 + (1 - t) ** 2) / spread) if spread > 0 else MAX_GUIDANCE_WEIGHT


def inpaint(objective: DiffusionObjective, prefix: ActionPrefix, noise: Tensor) -> Constraint:
    """Replace rows of the sample by the prefix with the noise of the step that was reached.

    A row with decay c is replaced at steps above (1 - c) ``num_train_timesteps``; committed rows always are.

    Args:
        objective: adds the noise.
        prefix: the actions to agree with.
        noise: (B, T, A) that sampling started from. The same noise is used at every step, as in deterministic
            sampling (DDIM).
    """
    decay = linear_decay(prefix)  # (T, 1)
    replaced_above = (1 - decay) * objective.config.num_train_timesteps  # (T, 1)

    def constrain(x: Tensor, t: float) -> Tensor:
        is_replaced = (decay == 1) | (replaced_above < t)
        return torch.where(is_replaced, objective.add_noise_at(prefix.actions, noise, t), x)

    return constrain

# SPDX-License-Identifier: Apache-2.0
"""Real-time chunking: a new sample that goes on from what is already being executed.

While a chunk is inferred the robot executes the one before, so the first rows of the new one are history by
the time it arrives. Sampled on its own it may be of another mode, go left where the robot has begun to go
right, and blending the two goes through the middle. Here the known rows take part in the sampling:

- flow matching, guided: Black et al. 2025 (arXiv 2506.07339), algorithm 1, after Pokle et al. 2023 (arXiv
  2310.04432). Rows that will be executed count in full, the rest of the known chunk less and less.
- diffusion, replacement: after each step rows are put back, noised to that step's level, as in Lugmayr et
  al. 2022 (arXiv 2201.09865), and the network completes the rest. The committed ones always; the others, in
  place of that paper's costly repetitions, only while the noise is high, the longer the nearer they are, as
  in Levin and Fried 2023 (arXiv 2306.00950): it is there that a sample chooses its mode.

Shapes: B batch, T horizon, A action entries.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dit_policy_ros.policy.sampling._diffusion import DiffusionObjective
from dit_policy_ros.policy.sampling._sampler import Constrain, Predict

MAX_GUIDANCE = 5.0
"""Limit of the guidance weight (beta in arXiv 2506.07339, which found 5 to do): without one it is infinite
at the first step."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownActions:
    """What is known of the sample, in normalised units."""

    actions: Tensor  # (1, T, A); rows that are not known hold the nearest that is
    is_known: Tensor  # bool (T,)
    committed: int  # rows that will have been executed


def closeness(known: KnownActions) -> Tensor:
    """How near each row is to what is committed (T, 1): 1 there, falling to 0 at the end of what is known."""
    rows = torch.arange(len(known.is_known), device=known.actions.device)  # (T,)
    end = int(known.is_known.nonzero().max()) + 1
    falling = (end - rows) / (end - min(known.committed, end) + 1)  # (T,)
    return torch.where(rows < min(known.committed, end), 1.0, falling.clamp(min=0.0))[:, None]


def soft_weights(known: KnownActions) -> Tensor:
    """How much each row counts in guidance (T, 1): equation 5 of arXiv 2506.07339."""
    near = closeness(known)  # (T, 1)
    return near * torch.where(near == 1, 1.0, torch.expm1(near) / (math.e - 1))


def guide_velocity(predict: Predict, known: KnownActions) -> Predict:
    """The velocity field bent towards samples that agree with what is known.

    ``predict`` is differentiated once per evaluation, so its network must allow gradients of its input.
    """
    weights = soft_weights(known)  # (T, 1)

    def velocity(x: Tensor, t: float) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            v = predict(x, t)
            end = x + (1 - t) * v  # (B, T, A) where the flow would end in one step
            error = ((known.actions - end) * weights).detach()
            (correction,) = torch.autograd.grad(end, x, error)
        return v.detach() + guidance_weight(t) * correction

    return velocity


def guidance_weight(t: float) -> float:
    """(1 - t) / (t r^2) with r^2 = (1 - t)^2 / (t^2 + (1 - t)^2), at most MAX_GUIDANCE; t in [0, 1]."""
    spread = t * (1 - t)
    return min(MAX_GUIDANCE, (t**2 + (1 - t) ** 2) / spread) if spread > 0 else MAX_GUIDANCE


def inpaint(objective: DiffusionObjective, known: KnownActions, noise: Tensor) -> Constrain:
    """Replaces rows of actions that have arrived at a step by what is known of them.

    Args:
        objective: knows how noisy actions are at a step.
        known: a row whose closeness is c is replaced at steps above (1 - c) of all; a committed one always.
        noise: (B, T, A) the noise that the sampling started from; one and the same on the whole way, as the
            deterministic sampler's own noise is.
    """
    near = closeness(known)  # (T, 1)
    free_from = (1 - near) * objective.config.num_train_timesteps  # (T, 1)

    def constrain(x: Tensor, t: float) -> Tensor:
        replaced = (near == 1) | (free_from < t)
        return torch.where(replaced, objective.noised(known.actions, noise, t), x)

    return constrain

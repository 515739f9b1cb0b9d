# SPDX-License-Identifier: Apache-2.0
"""Start a sample from the previous one instead of from noise (real-time iteration).

Duan et al. 2025 (arXiv 2508.05396): the previous sample, shifted to now, is noised to an intermediate level
and denoised with the steps from there on. What it saves in steps it pays in loyalty to the former plan.

Shapes: T horizon, A action entries.
"""

from torch import Tensor

from dit_policy_ros.policy.sampling._diffusion import DiffusionObjective
from dit_policy_ros.policy.sampling._flow_matching import FlowMatchingObjective
from dit_policy_ros.policy.sampling._real_time_chunking import KnownActions


def warm_start(
    objective: DiffusionObjective | FlowMatchingObjective, known: KnownActions, noise: Tensor, steps: int
) -> tuple[Tensor, int]:
    """Where to begin.

    Args:
        objective: the sampler.
        known: the previous sample, shifted.
        noise: (B, T, A).
        steps: how many of the sampler's steps to take; all of them start from the noise alone.

    Returns:
        The actions to begin with (B, T, A), and how many steps to leave out.
    """
    times = objective.times()
    first = max(len(times) - steps, 0)
    if first == 0:
        return noise, 0
    return objective.noised(known.actions, noise, times[first]), first

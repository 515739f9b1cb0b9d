# SPDX-License-Identifier: Apache-2.0
"""Sampling that continues the previous chunk: its actions as a prefix, and warm starts.

Real-time chunking, the other use of the prefix, is in ``_real_time_chunking``.

Shapes: B batch, T horizon, A action entries.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.processing import Normalizer
from dit_policy_ros.policy.sampling._diffusion import DiffusionObjective
from dit_policy_ros.policy.sampling._flow_matching import FlowMatchingObjective


@dataclass(frozen=True, slots=True)
class ContinuationOptions:
    """How a sample uses the previous chunk. By default it does not.

    Attributes:
        warm_start: sampling steps to take, starting from the previous chunk instead of pure noise; 0 is off.
        real_time_chunking: constrain the sample to agree with the actions that are being executed.
    """

    warm_start: int = 0
    real_time_chunking: bool = False

    @property
    def is_on(self) -> bool:
        """Whether sampling uses the previous chunk at all."""
        return self.warm_start > 0 or self.real_time_chunking

    def needs_gradients(self, config: PolicyConfig) -> bool:
        """Whether sampling differentiates the network."""
        guided = self.real_time_chunking and not config.trained_delay
        return guided and config.objective == "flow_matching"

    def check(self, config: PolicyConfig) -> None:
        """Raise CheckpointError for a value that is invalid, or impossible with this checkpoint's options."""
        steps, most = self.warm_start, config.sampling_steps
        if not isinstance(steps, int) or isinstance(steps, bool) or not 0 <= steps <= most:
            raise CheckpointError(
                f"load_policy: warm_start: expected 0 (off) to the number of steps ({most}), got {steps!r}"
            )
        if not isinstance(self.real_time_chunking, bool):
            raise CheckpointError(
                f"load_policy: real_time_chunking: expected true or false, got {self.real_time_chunking!r}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class ActionPrefix:
    """Actions of the previous chunk at the times of the new sample's rows, in normalised units."""

    actions: Tensor  # (1, T, A); a row without a previous action repeats the nearest row that has one
    is_known: Tensor  # bool (T,), whether the previous chunk has an action for the row
    committed: int  # leading rows that will have been executed when the new chunk arrives


def action_prefix(previous: Continuation, normalizer: Normalizer, origin: Tensor) -> ActionPrefix:
    """Convert the previous chunk to the network's units.

    Args:
        previous: actions (T, A) [rad or m], NaN rows where there are none.
        normalizer: of the actions.
        origin: (1, A) from ``action_origin``, which relative actions are measured from.
    """
    given = torch.from_numpy(previous.actions).to(origin.device, torch.float32)  # (T, A)
    actions = normalizer.normalize(given - origin)  # (T, A)
    is_known = ~actions.isnan().any(dim=-1)  # (T,)
    return ActionPrefix(fill_with_nearest(actions, is_known)[None], is_known, previous.committed)


def fill_with_nearest(actions: Tensor, is_known: Tensor) -> Tensor:
    """Replace unknown rows by the nearest known one: (T, A), bool (T,), at least one true -> (T, A)."""
    known = is_known.nonzero().flatten()
    rows = torch.arange(len(actions), device=actions.device)
    nearest = (rows[:, None] - known).abs().argmin(dim=1)  # (T,)
    return actions[known[nearest]]


def warm_start(
    objective: DiffusionObjective | FlowMatchingObjective,
    prefix: ActionPrefix,
    noise: Tensor,
    steps: int,
) -> tuple[Tensor, int]:
    """Start from the previous chunk instead of from noise, to save sampling steps.

    Duan et al. 2025 (arXiv 2508.05396): add noise to the previous chunk up to an intermediate level, and
    denoise from there. The fewer the steps, the more closely the new chunk follows the previous one.

    An action that is either of two values, as a gripper's, then hardly changes: the noise of an intermediate
    level does not reach from one value to the other. Trained with ``gripper_scale``, it does.

    Args:
        objective: the sampler.
        prefix: the previous chunk.
        noise: (B, T, A).
        steps: sampling steps to take; with all of the sampler's steps sampling starts from ``noise`` alone.

    Returns:
        The actions to start from (B, T, A), and the index of the first step to take.
    """
    timesteps = objective.timesteps()
    first_step = max(len(timesteps) - steps, 0)
    if first_step == 0:
        return noise, 0
    return objective.add_noise_at(prefix.actions, noise, timesteps[first_step]), first_step

# SPDX-License-Identifier: Apache-2.0
"""What a sample takes over from the one before it; nothing, unless asked to."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.processing import Normalizer
from dit_policy_ros.policy.sampling._real_time_chunking import KnownActions


@dataclass(frozen=True, slots=True)
class Reuse:
    """How the known actions are used.

    Attributes:
        warm_start: steps to take from the previous sample instead of all of them from noise; 0 is off.
        real_time_chunking: agree with what is being executed.
    """

    warm_start: int = 0
    real_time_chunking: bool = False

    @property
    def is_on(self) -> bool:
        """Whether the known actions matter."""
        return self.warm_start > 0 or self.real_time_chunking

    def needs_gradients(self, config: PolicyConfig) -> bool:
        """Whether sampling differentiates the network."""
        return self.real_time_chunking and config.objective == "flow_matching"

    def check(self, config: PolicyConfig) -> None:
        """Raise CheckpointError for what makes no sense with the options of a checkpoint."""
        steps, most = self.warm_start, config.sampling_steps
        if not isinstance(steps, int) or isinstance(steps, bool) or not 0 <= steps <= most:
            raise CheckpointError(
                f"load_policy: warm_start: expected 0 (off) to the number of steps ({most}), got {steps!r}"
            )
        if not isinstance(self.real_time_chunking, bool):
            raise CheckpointError(
                f"load_policy: real_time_chunking: expected true or false, got {self.real_time_chunking!r}"
            )


def known_actions(previous: Continuation, scale: Normalizer, origin: Tensor) -> KnownActions:
    """From robot units (T, A) with NaN rows to the network's units, whole; they count from origin (1, A)."""
    given = torch.from_numpy(previous.actions).to(origin.device, torch.float32)  # (T, A)
    actions = scale.normalize(given - origin)  # (T, A)
    is_known = ~actions.isnan().any(dim=-1)  # (T,)
    return KnownActions(fill_unknown(actions, is_known)[None], is_known, previous.committed)


def fill_unknown(actions: Tensor, is_known: Tensor) -> Tensor:
    """(T, A), bool (T,) with at least one true -> (T, A), the nearest known row in place of the others."""
    known = is_known.nonzero().flatten()
    rows = torch.arange(len(actions), device=actions.device)
    nearest = (rows[:, None] - known).abs().argmin(dim=1)  # (T,)
    return actions[known[nearest]]

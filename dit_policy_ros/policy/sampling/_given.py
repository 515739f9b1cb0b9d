# SPDX-License-Identifier: Apache-2.0
"""Delay-conditioned training: a network that is told which actions are executed already, and continues them.

While a chunk is inferred the robot executes the previous one. A network trained with ``trained_delay`` gets
the first rows of some examples as they were demonstrated, and learns to complete them (Black et al. 2025,
arXiv 2512.05964). ``_given_actions`` has the other side: at inference the committed rows of the previous
chunk take their place.

The paper gives each row a flow time of its own, 1 for the given ones. Here one more input entry of each row
says whether it is given. This works for diffusion, too, and with every conditioning, and the time stays one
number, on which the fast form of the network rests.

Shapes: B batch, T horizon, A action entries.
"""

import torch
from torch import Tensor

from dit_policy_ros.policy.config import PolicyConfig


def draw_given(config: PolicyConfig, batch: int, device: torch.device) -> Tensor:
    """Which rows each example gets as demonstrated, bool (B, T): 0 to the most, equally likely."""
    count = torch.randint(0, config.most_given + 1, (batch, 1), device=device)  # (B, 1)
    return torch.arange(config.horizon, device=device) < count


def with_marks(x: Tensor, is_given: Tensor) -> Tensor:
    """What the network reads: (B, T, A), bool (B, T) -> (B, T, A + 1)."""
    return torch.cat((x, is_given.unsqueeze(-1).to(x.dtype)), dim=-1)

# SPDX-License-Identifier: Apache-2.0
"""Conditioning ``in_context``: the observation's tokens stand before the actions, one transformer for both.

Shapes: B batch, T horizon, K observation tokens, H hidden, C time entries. Source: Peebles and Xie 2022,
arXiv 2212.09748, section 3.2; time stays with adaLN-Zero.
"""

import torch
from torch import Tensor, nn

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.network._adaln import TransformerBlock


class InContextBlocks(nn.ModuleList):
    """All layers; the observation is tokens (B, K, H)."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__(
            TransformerBlock(config, config.timestep_embed_dim) for _ in range(config.num_layers)
        )

    def forward(self, h: Tensor, time: Tensor, observation: Tensor) -> Tensor:
        """(B, T, H), (B, C), (B, K, H) -> (B, T, H)."""
        count = observation.shape[1]
        sequence = torch.cat((observation, h), dim=1)  # (B, K + T, H)
        for block in self:
            # Rotary positions count along the actions; the observation's tokens say themselves what they are.
            sequence = block(sequence, time, prefix=count)
        return sequence[:, count:]

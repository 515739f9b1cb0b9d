# SPDX-License-Identifier: Apache-2.0
"""Conditioning ``in_context``: observation tokens and actions form one sequence of one transformer.

Peebles and Xie 2022 (DiT, arXiv 2212.09748), section 3.2. Time acts through adaLN-Zero.

Shapes: B batch, T horizon, K observation tokens, H hidden, C time entries.
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
            # Only the actions get rotary positions; observation tokens carry embeddings of step and camera.
            sequence = block(sequence, time, prefix=count)
        return sequence[:, count:]

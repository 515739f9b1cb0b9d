# SPDX-License-Identifier: Apache-2.0
"""Conditioning ``adaln``: a vector of time and observation shifts, scales and gates every layer.

adaLN-Zero of Peebles and Xie 2022 (DiT, arXiv 2212.09748), section 3.2. Parameter names are those of
LeRobot's ``multi_task_dit``.

Shapes: B batch, T horizon, L tokens, H hidden, C = C_time + C_obs entries of the
conditioning vector.
"""

import torch
from torch import Tensor, nn

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.network._attention import RotaryAttention


class TransformerBlock(nn.Module):
    """Self-attention and MLP, each shifted, scaled and gated by a vector. Other conditionings use it, too."""

    def __init__(self, config: PolicyConfig, conditioning_dim: int) -> None:
        super().__init__()
        hidden = config.hidden_dim
        if config.use_rope:
            self.attn = RotaryAttention(
                hidden, config.num_heads, config.dropout, config.horizon, config.rope_base
            )
        else:
            self.multihead_attn = nn.MultiheadAttention(
                hidden, config.num_heads, dropout=config.dropout, batch_first=True
            )
        self.uses_rope = config.use_rope
        self.norm1 = plain_norm(hidden)
        self.norm2 = plain_norm(hidden)
        self.mlp = feed_forward(hidden)
        self.adaLN_modulation = modulation(conditioning_dim, 6 * hidden)

    def forward(self, x: Tensor, conditioning: Tensor, prefix: int = 0) -> Tensor:
        """(B, L, H), (B, C) -> (B, L, H); the first ``prefix`` tokens get no rotary position."""
        values = self.adaLN_modulation(conditioning).unsqueeze(1)  # (B, 1, 6 H)
        shift_attn, scale_attn, gate_attn, shift_mlp, scale_mlp, gate_mlp = values.chunk(6, dim=-1)
        x = x + gate_attn * self._attend(self.norm1(x) * (1 + scale_attn) + shift_attn, prefix)
        return x + gate_mlp * self.mlp(self.norm2(x) * (1 + scale_mlp) + shift_mlp)

    def _attend(self, x: Tensor, prefix: int) -> Tensor:
        if self.uses_rope:
            return self.attn(x, prefix)
        return self.multihead_attn(x, x, x)[0]


class AdaLNBlocks(nn.ModuleList):
    """All layers; the observation is a vector (B, C_obs)."""

    def __init__(self, config: PolicyConfig, observation_dim: int) -> None:
        dim = config.timestep_embed_dim + observation_dim
        super().__init__(TransformerBlock(config, dim) for _ in range(config.num_layers))

    def forward(self, h: Tensor, time: Tensor, observation: Tensor) -> Tensor:
        """(B, T, H), (B, C_time), (B, C_obs) -> (B, T, H)."""
        conditioning = torch.cat((time, observation), dim=-1)  # (B, C)
        for block in self:
            h = block(h, conditioning)
        return h


def plain_norm(hidden: int) -> nn.LayerNorm:
    """A LayerNorm without weights: shift and scale come from the modulation."""
    return nn.LayerNorm(hidden, elementwise_affine=False, eps=1e-6)


def feed_forward(hidden: int) -> nn.Sequential:
    """The MLP of a layer: (..., H) -> (..., H)."""
    return nn.Sequential(nn.Linear(hidden, 4 * hidden), nn.GELU("tanh"), nn.Linear(4 * hidden, hidden))


def modulation(conditioning_dim: int, out: int) -> nn.Sequential:
    """Maps the conditioning vector to shifts, scales and gates: (B, C) -> (B, out)."""
    return nn.Sequential(nn.SiLU(), nn.Linear(conditioning_dim, out))

# SPDX-License-Identifier: Apache-2.0
"""The Diffusion Transformer over an action sequence, conditioned by adaLN-Zero.

Shapes: B batch, T horizon, A action entries, H hidden, N heads, D head dimension, C conditioning entries.
Sources: Peebles and Xie 2022 (arXiv 2212.09748) for adaLN-Zero, Su et al. 2021 (arXiv 2104.09864) for RoPE.
Parameter names are those of LeRobot's ``multi_task_dit``, so that weights move both ways.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_policy_ros.policy.config import PolicyConfig


class SinusoidalEmbedding(nn.Module):
    """Sine and cosine features of a scalar time; frequencies fall geometrically from 1 to 1/10000."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        half = dim // 2
        frequencies = torch.exp(torch.arange(half) * -(math.log(10000) / (half - 1)))
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, time: Tensor) -> Tensor:
        """(B,) diffusion step or flow time -> (B, dim)."""
        angle = time[:, None] * self.frequencies[None, :]  # (B, dim / 2)
        return torch.cat((angle.sin(), angle.cos()), dim=-1)


class RotaryEmbedding(nn.Module):
    """Rotates queries and keys by an angle proportional to their position."""

    def __init__(self, head_dim: int, max_length: int, base: float) -> None:
        super().__init__()
        frequencies = 1.0 / (base ** (torch.arange(0, head_dim, 2).float() / head_dim))  # (D / 2,)
        angle = torch.outer(torch.arange(max_length, dtype=torch.float32), frequencies)  # (T, D / 2)
        angle = torch.cat((angle, angle), dim=-1)  # (T, D)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, T, D) -> the same, each position rotated."""
        length = x.shape[-2]
        cos, sin = self.cos[:length].to(x.dtype), self.sin[:length].to(x.dtype)  # (T, D)
        lower, upper = x.chunk(2, dim=-1)
        return x * cos + torch.cat((-upper, lower), dim=-1) * sin


class RotaryAttention(nn.Module):
    """Multi-head self-attention whose scores depend on relative positions."""

    def __init__(self, hidden: int, heads: int, dropout: float, max_length: int, base: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv_proj = nn.Linear(hidden, 3 * hidden)
        self.out_proj = nn.Linear(hidden, hidden)
        self.rope = RotaryEmbedding(hidden // heads, max_length, base)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, H) -> (B, T, H)."""
        batch, length, hidden = x.shape
        packed = self.qkv_proj(x).view(batch, length, 3, self.heads, hidden // self.heads)
        query, key, value = packed.permute(2, 0, 3, 1, 4)  # each (B, N, T, D)
        mixed = functional.scaled_dot_product_attention(
            self.rope(query), self.rope(key), value, dropout_p=self.dropout if self.training else 0.0
        )
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, length, hidden))


class TransformerBlock(nn.Module):
    """Attention and MLP, each shifted, scaled and gated by the conditioning (adaLN-Zero)."""

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
        self.norm1 = nn.LayerNorm(hidden, elementwise_affine=False, eps=1e-6)
        self.norm2 = nn.LayerNorm(hidden, elementwise_affine=False, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(hidden, 4 * hidden), nn.GELU("tanh"), nn.Linear(4 * hidden, hidden)
        )
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(conditioning_dim, 6 * hidden))

    def forward(self, x: Tensor, conditioning: Tensor) -> Tensor:
        """(B, T, H), (B, C) -> (B, T, H)."""
        modulation = self.adaLN_modulation(conditioning).unsqueeze(1)  # (B, 1, 6 H)
        shift_attn, scale_attn, gate_attn, shift_mlp, scale_mlp, gate_mlp = modulation.chunk(6, dim=-1)
        x = x + gate_attn * self._attend(self.norm1(x) * (1 + scale_attn) + shift_attn)
        return x + gate_mlp * self.mlp(self.norm2(x) * (1 + scale_mlp) + shift_mlp)

    def _attend(self, x: Tensor) -> Tensor:
        if self.uses_rope:
            return self.attn(x)
        return self.multihead_attn(x, x, x)[0]


class DiffusionTransformer(nn.Module):
    """Predicts noise, clean actions or a velocity from noisy actions, a time and the observation."""

    def __init__(self, config: PolicyConfig, observation_dim: int) -> None:
        super().__init__()
        hidden, time_dim = config.hidden_dim, config.timestep_embed_dim
        self.time_mlp = nn.Sequential(
            SinusoidalEmbedding(time_dim),
            nn.Linear(time_dim, 2 * time_dim),
            nn.GELU(),
            nn.Linear(2 * time_dim, time_dim),
            nn.GELU(),
        )
        self.input_proj = nn.Linear(config.action_dim, hidden)
        self.pos_embedding = None
        if config.use_positional_encoding:
            self.pos_embedding = nn.Parameter(0.02 * torch.randn(1, config.horizon, hidden))
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(config, time_dim + observation_dim) for _ in range(config.num_layers)
        )
        self.output_proj = nn.Linear(hidden, config.action_dim)
        for block in self.transformer_blocks:
            # Zero gates: a new network passes its residual stream through unchanged.
            nn.init.zeros_(block.adaLN_modulation[-1].weight)
            nn.init.zeros_(block.adaLN_modulation[-1].bias)

    def forward(self, x: Tensor, time: Tensor, observation: Tensor) -> Tensor:
        """(B, T, A), (B,), (B, C_obs) -> (B, T, A)."""
        conditioning = torch.cat((self.time_mlp(time), observation), dim=-1)  # (B, C)
        h = self.input_proj(x)  # (B, T, H)
        if self.pos_embedding is not None:
            h = h + self.pos_embedding[:, : x.shape[1]]
        for block in self.transformer_blocks:
            h = block(h, conditioning)
        return self.output_proj(h)

# SPDX-License-Identifier: Apache-2.0
"""Attention with rotary position embeddings (RoPE): its scores depend on relative positions only.

Su et al. 2021 (arXiv 2104.09864).

Shapes: B batch, L tokens, H hidden, N heads, D head dimension.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class RotaryEmbedding(nn.Module):
    """Rotates queries and keys by an angle proportional to their position."""

    cos: Tensor
    sin: Tensor

    def __init__(self, head_dim: int, max_length: int, base: float) -> None:
        super().__init__()
        frequencies = 1.0 / (base ** (torch.arange(0, head_dim, 2).float() / head_dim))  # (D / 2,)
        angle = torch.outer(torch.arange(max_length, dtype=torch.float32), frequencies)  # (L, D / 2)
        angle = torch.cat((angle, angle), dim=-1)  # (L, D)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, x: Tensor, prefix: int = 0) -> Tensor:
        """Rotate all tokens but the first ``prefix``, which get no position: (B, N, L, D), same shape."""
        if prefix:
            return torch.cat((x[..., :prefix, :], self(x[..., prefix:, :])), dim=-2)
        length = x.shape[-2]
        cos, sin = self.cos[:length].to(x.dtype), self.sin[:length].to(x.dtype)  # (L, D)
        lower, upper = x.chunk(2, dim=-1)
        return x * cos + torch.cat((-upper, lower), dim=-1) * sin


class RotaryAttention(nn.Module):
    """Multi-head self-attention with rotary position embeddings."""

    def __init__(self, hidden: int, heads: int, dropout: float, max_length: int, base: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv_proj = nn.Linear(hidden, 3 * hidden)
        self.out_proj = nn.Linear(hidden, hidden)
        self.rope = RotaryEmbedding(hidden // heads, max_length, base)

    def forward(self, x: Tensor, prefix: int = 0) -> Tensor:
        """(B, L, H) -> (B, L, H); the first ``prefix`` tokens get no rotary position."""
        query, key, value = split_heads(self.qkv_proj(x), 3, self.heads)
        dropout = self.dropout if self.training else 0.0
        query, key = self.rope(query, prefix), self.rope(key, prefix)
        return self.out_proj(
            merge_heads(functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout))
        )


def split_heads(packed: Tensor, parts: int, heads: int) -> Tensor:
    """(B, L, parts * H) -> (parts, B, N, L, D)."""
    batch, length, width = packed.shape
    return packed.view(batch, length, parts, heads, width // parts // heads).permute(2, 0, 3, 1, 4)


def merge_heads(x: Tensor) -> Tensor:
    """(B, N, L, D) -> (B, L, N * D)."""
    return x.transpose(1, 2).flatten(2)

# SPDX-License-Identifier: Apache-2.0
"""Conditioning ``joint``: actions and observation are two streams with weights of their own, one attention.

Shapes: B batch, T horizon, K observation tokens, L = K + T, H hidden, N heads, D head dimension, C time
entries. Source: the MM-DiT block of Esser et al. 2024, arXiv 2403.03206, section 4; time stays with
adaLN-Zero in both streams.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.network._adaln import feed_forward, modulation, plain_norm
from dit_policy_ros.policy.network._attention import RotaryEmbedding, merge_heads, split_heads


class Stream(nn.Module):
    """One stream's weights of one layer."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        hidden = config.hidden_dim
        self.heads = config.num_heads
        self.norm1 = plain_norm(hidden)
        self.norm2 = plain_norm(hidden)
        self.qkv_proj = nn.Linear(hidden, 3 * hidden)
        self.out_proj = nn.Linear(hidden, hidden)
        self.mlp = feed_forward(hidden)
        self.adaLN_modulation = modulation(config.timestep_embed_dim, 6 * hidden)

    def modulate(self, time: Tensor) -> tuple[Tensor, ...]:
        """(B, C) -> shift, scale and gate of the attention, then of the MLP, each (B, 1, H)."""
        return self.adaLN_modulation(time).unsqueeze(1).chunk(6, dim=-1)

    def project(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """(B, ., H) -> query, key and value (3, B, N, ., D)."""
        return split_heads(self.qkv_proj(self.norm1(x) * (1 + scale) + shift), 3, self.heads)

    def update(self, x: Tensor, mixed: Tensor, values: tuple[Tensor, ...]) -> Tensor:
        """The stream (B, ., H) after its share of the attention (B, ., H) and its MLP."""
        _, _, gate_attn, shift_mlp, scale_mlp, gate_mlp = values
        x = x + gate_attn * self.out_proj(mixed)
        return x + gate_mlp * self.mlp(self.norm2(x) * (1 + scale_mlp) + shift_mlp)


class ReadOnlyStream(nn.Module):
    """The observation in the last layer, where it is still read and no longer changed."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        hidden = config.hidden_dim
        self.heads = config.num_heads
        self.norm = plain_norm(hidden)
        self.kv_proj = nn.Linear(hidden, 2 * hidden)
        self.adaLN_modulation = modulation(config.timestep_embed_dim, 2 * hidden)

    def project(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, K, H), (B, C) -> key and value (2, B, N, K, D)."""
        shift, scale = self.adaLN_modulation(time).unsqueeze(1).chunk(2, dim=-1)
        return split_heads(self.kv_proj(self.norm(x) * (1 + scale) + shift), 2, self.heads)


class JointBlock(nn.Module):
    """One layer of both streams."""

    def __init__(self, config: PolicyConfig, *, is_last: bool) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.action = Stream(config)
        self.observation = ReadOnlyStream(config) if is_last else Stream(config)
        head_dim = config.hidden_dim // config.num_heads
        self.rope = RotaryEmbedding(head_dim, config.horizon, config.rope_base) if config.use_rope else None

    def forward(self, h: Tensor, tokens: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, H), (B, K, H), (B, C) -> both streams, changed."""
        values = self.action.modulate(time)
        query, key, value = self.action.project(h, *values[:2])
        if self.rope is not None:
            query, key = self.rope(query), self.rope(key)
        if isinstance(self.observation, ReadOnlyStream):
            mixed = self._attend(query, (key, value), tuple(self.observation.project(tokens, time)))
            return self.action.update(h, mixed, values), tokens
        token_values = self.observation.modulate(time)
        token_query, *token_pair = self.observation.project(tokens, *token_values[:2])
        mixed = self._attend(torch.cat((token_query, query), dim=2), (key, value), tuple(token_pair))
        count = tokens.shape[1]
        return (
            self.action.update(h, mixed[:, count:], values),
            self.observation.update(tokens, mixed[:, :count], token_values),
        )

    def _attend(self, query: Tensor, of_actions: tuple[Tensor, ...], of_tokens: tuple[Tensor, ...]) -> Tensor:
        """Queries (B, N, ., D) over keys and values of both streams -> (B, ., H)."""
        key, value = (torch.cat(pair, dim=2) for pair in zip(of_tokens, of_actions, strict=True))
        dropout = self.dropout if self.training else 0.0
        return merge_heads(functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout))


class JointBlocks(nn.ModuleList):
    """All layers; the observation is tokens (B, K, H)."""

    def __init__(self, config: PolicyConfig) -> None:
        last = config.num_layers - 1
        super().__init__(JointBlock(config, is_last=i == last) for i in range(config.num_layers))

    def forward(self, h: Tensor, time: Tensor, observation: Tensor) -> Tensor:
        """(B, T, H), (B, C), (B, K, H) -> (B, T, H)."""
        for block in self:
            h, observation = block(h, observation, time)
        return h

# SPDX-License-Identifier: Apache-2.0
"""Conditioning ``joint``: two streams, actions and observation, with their own weights and a joint attention.

The MM-DiT block of Esser et al. 2024 (arXiv 2403.03206), section 4. Time acts through adaLN-Zero in both
streams.

Shapes: B batch, T horizon, K observation tokens, H hidden, N heads, D head dimension, C time entries; "." is
T, K or K + T.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.network._adaln import feed_forward, modulation, plain_norm
from dit_policy_ros.policy.network._attention import RotaryEmbedding, merge_heads, split_heads


class Stream(nn.Module):
    """The weights of one stream in one layer."""

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

    def update(self, x: Tensor, attended: Tensor, modulation: tuple[Tensor, ...]) -> Tensor:
        """Add the attention's output (B, ., H) and the MLP's to the stream (B, ., H)."""
        _, _, gate_attn, shift_mlp, scale_mlp, gate_mlp = modulation
        x = x + gate_attn * self.out_proj(attended)
        return x + gate_mlp * self.mlp(self.norm2(x) * (1 + scale_mlp) + shift_mlp)


class ReadOnlyStream(nn.Module):
    """The observation's stream in the last layer, where the actions read it and nothing uses its update."""

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
        """(B, T, H), (B, K, H), (B, C) -> both streams updated, (B, T, H), (B, K, H)."""
        action_modulation = self.action.modulate(time)
        query, key, value = self.action.project(h, *action_modulation[:2])
        if self.rope is not None:
            query, key = self.rope(query), self.rope(key)
        if isinstance(self.observation, ReadOnlyStream):
            attended = self._attend(query, (key, value), tuple(self.observation.project(tokens, time)))
            return self.action.update(h, attended, action_modulation), tokens
        token_modulation = self.observation.modulate(time)
        token_query, *token_kv = self.observation.project(tokens, *token_modulation[:2])
        attended = self._attend(torch.cat((token_query, query), dim=2), (key, value), tuple(token_kv))
        count = tokens.shape[1]
        return (
            self.action.update(h, attended[:, count:], action_modulation),
            self.observation.update(tokens, attended[:, :count], token_modulation),
        )

    def _attend(self, query: Tensor, action_kv: tuple[Tensor, ...], token_kv: tuple[Tensor, ...]) -> Tensor:
        """Attend with queries (B, N, ., D) to keys and values of both streams -> (B, ., H)."""
        key, value = (torch.cat(pair, dim=2) for pair in zip(token_kv, action_kv, strict=True))
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

# SPDX-License-Identifier: Apache-2.0
"""Conditioning ``cross_attention``: in every layer the actions attend to the observation's tokens.

Peebles and Xie 2022 (DiT, arXiv 2212.09748), section 3.2. Time acts through adaLN-Zero, which also gates the
cross-attention.

Shapes: B batch, T horizon, K observation tokens, H hidden, C time entries.
"""

from torch import Tensor, nn
from torch.nn import functional

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.network._adaln import TransformerBlock, modulation, plain_norm
from dit_policy_ros.policy.network._attention import merge_heads, split_heads


class CrossAttention(nn.Module):
    """Attention with queries from the actions and keys and values from the observation, gated by time."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        hidden = config.hidden_dim
        self.heads, self.dropout = config.num_heads, config.dropout
        self.norm = plain_norm(hidden)
        self.q_proj = nn.Linear(hidden, hidden)
        self.kv_proj = nn.Linear(hidden, 2 * hidden)
        self.out_proj = nn.Linear(hidden, hidden)
        self.adaLN_modulation = modulation(config.timestep_embed_dim, 3 * hidden)

    def forward(self, x: Tensor, time: Tensor, tokens: Tensor) -> Tensor:
        """(B, T, H), (B, C), (B, K, H) -> (B, T, H)."""
        shift, scale, gate = self.adaLN_modulation(time).unsqueeze(1).chunk(3, dim=-1)
        (query,) = split_heads(self.q_proj(self.norm(x) * (1 + scale) + shift), 1, self.heads)
        key, value = split_heads(self.kv_proj(tokens), 2, self.heads)
        dropout = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return x + gate * self.out_proj(merge_heads(mixed))


class CrossAttentionBlock(nn.Module):
    """Cross-attention followed by a transformer block, whose self-attention spreads it along the actions."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.cross = CrossAttention(config)
        self.block = TransformerBlock(config, config.timestep_embed_dim)

    def forward(self, x: Tensor, time: Tensor, tokens: Tensor) -> Tensor:
        """(B, T, H), (B, C), (B, K, H) -> (B, T, H)."""
        return self.block(self.cross(x, time, tokens), time)


class CrossAttentionBlocks(nn.ModuleList):
    """All layers; the observation is tokens (B, K, H)."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__(CrossAttentionBlock(config) for _ in range(config.num_layers))

    def forward(self, h: Tensor, time: Tensor, observation: Tensor) -> Tensor:
        """(B, T, H), (B, C), (B, K, H) -> (B, T, H)."""
        for block in self:
            h = block(h, time, observation)
        return h

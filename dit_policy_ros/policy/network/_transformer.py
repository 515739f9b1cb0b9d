# SPDX-License-Identifier: Apache-2.0
"""The Diffusion Transformer over an action sequence, with one of four conditionings.

Peebles and Xie 2022 (DiT, arXiv 2212.09748). Parameter names are those of LeRobot's ``multi_task_dit``, so
that weights with the conditioning ``adaln`` load in both packages.

Shapes: B batch, T horizon, A action entries, H hidden, C entries of the observation's vector, K observation
tokens.
"""

import math

import torch
from torch import Tensor, nn

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.network._adaln import AdaLNBlocks
from dit_policy_ros.policy.network._cross_attention import CrossAttentionBlocks
from dit_policy_ros.policy.network._in_context import InContextBlocks
from dit_policy_ros.policy.network._joint import JointBlocks


class SinusoidalEmbedding(nn.Module):
    """Sine and cosine features of the time, with frequencies falling geometrically from 1 to 1/10000."""

    frequencies: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        half = dim // 2
        frequencies = torch.exp(torch.arange(half) * -(math.log(10000) / (half - 1)))
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, time: Tensor) -> Tensor:
        """(B,) diffusion step or flow time -> (B, dim)."""
        angle = time[:, None] * self.frequencies[None, :]  # (B, dim / 2)
        return torch.cat((angle.sin(), angle.cos()), dim=-1)


class DiffusionTransformer(nn.Module):
    """Predicts noise, clean actions or a velocity from noisy actions, a time and the observation."""

    def __init__(self, config: PolicyConfig, observation_dim: int) -> None:
        """Build the network with layers that start as the identity.

        Args:
            config: the policy's options.
            observation_dim: C; used by ``adaln`` only.
        """
        super().__init__()
        self.config = config
        hidden, time_dim = config.hidden_dim, config.timestep_embed_dim
        self.time_mlp = nn.Sequential(
            SinusoidalEmbedding(time_dim),
            nn.Linear(time_dim, 2 * time_dim),
            nn.GELU(),
            nn.Linear(2 * time_dim, time_dim),
            nn.GELU(),
        )
        self.input_proj = nn.Linear(config.network_action_dim, hidden)
        self.pos_embedding = None
        if config.use_positional_encoding:
            self.pos_embedding = nn.Parameter(0.02 * torch.randn(1, config.horizon, hidden))
        self.transformer_blocks = make_blocks(config, observation_dim)
        self.output_proj = nn.Linear(hidden, config.action_dim)
        for name, parameter in self.transformer_blocks.named_parameters():
            if ".adaLN_modulation." in name:
                # Zero gates: in a new network each layer is the identity.
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor, time: Tensor, observation: Tensor) -> Tensor:
        """(B, T, A), (B,), (B, C) or tokens (B, K, H) -> (B, T, A); with marks of (B, T, A + 1)."""
        h = self.input_proj(x)  # (B, T, H)
        if self.pos_embedding is not None:
            h = h + self.pos_embedding[:, : x.shape[1]]
        return self.output_proj(self.transformer_blocks(h, self.time_mlp(time), observation))


def make_blocks(config: PolicyConfig, observation_dim: int) -> nn.ModuleList:
    """The layers of the configured conditioning."""
    match config.conditioning:
        case "adaln":
            return AdaLNBlocks(config, observation_dim)
        case "cross_attention":
            return CrossAttentionBlocks(config)
        case "in_context":
            return InContextBlocks(config)
        case "joint":
            return JointBlocks(config)

# SPDX-License-Identifier: Apache-2.0
"""An MLP that brings the parts of an observation together before they condition the actions.

adaLN adds up what state, images and instruction say each for itself. "Where is the cube that the instruction
names" is a product of two of them, which an MLP of its own learns much faster than the layers that denoise.

Shapes: B batch, S observation steps, D state entries, C entries of the concatenated vector, H hidden.
"""

import torch
from torch import Tensor, nn

from dit_policy_ros.policy.network import feed_forward


class FusionMLP(nn.Module):
    """Residual MLPs over the concatenated vector; states and instruction stand beside what they give."""

    def __init__(self, input_dim: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.input_proj = nn.Linear(input_dim, hidden)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden), feed_forward(hidden)) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(hidden)

    def forward(self, vector: Tensor, state: Tensor, text: Tensor) -> Tensor:
        """(B, C), (B, S, D), (B, H) -> (B, S * D + 2 H)."""
        return torch.cat((state.flatten(1), text, self.mix(vector)), dim=-1)

    def mix(self, vector: Tensor) -> Tensor:
        """(B, C) -> (B, H)."""
        h = self.input_proj(vector)
        for layer in self.layers:
            h = h + layer(h)
        return self.norm(h)

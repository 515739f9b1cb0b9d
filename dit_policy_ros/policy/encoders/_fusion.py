# SPDX-License-Identifier: Apache-2.0
"""Two ways to combine the features of an observation: a fusion MLP, or a set of tokens.

Shapes: B batch, S observation steps, I of them with images (the newest), N cameras, P tokens per image,
F image feature, D state entries, C entries of the concatenated vector, H hidden, X tokens of the instruction,
K = X + S + I N P tokens.
"""

import torch
from torch import Tensor, nn

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.network import feed_forward


class FusionMLP(nn.Module):
    """Residual MLPs over the concatenated vector, for the conditioning ``adaln``.

    adaLN adds up the contributions of state, images and instruction. "Where is the cube that the instruction
    names" is a product of two of them. An MLP learns it much faster than the denoising layers do.
    """

    def __init__(self, input_dim: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.input_proj = nn.Linear(input_dim, hidden)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden), feed_forward(hidden)) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(hidden)

    def forward(self, vector: Tensor, *beside: Tensor) -> Tensor:
        """What goes past it and the fused features, side by side: (B, C), (B, ...) each -> (B, ... + H)."""
        return torch.cat((*(each.flatten(1) for each in beside), self.fuse(vector)), dim=-1)

    def fuse(self, vector: Tensor) -> Tensor:
        """The fused features: (B, C) -> (B, H)."""
        h = self.input_proj(vector)
        for layer in self.layers:
            h = h + layer(h)
        return self.norm(h)


class ObservationTokens(nn.Module):
    """The observation as tokens, for the conditionings that attend to it.

    One token for the instruction or several, one for the state of each step, and those of the images.
    """

    positions: Tensor | None

    def __init__(self, config: PolicyConfig, image_dim: int) -> None:
        super().__init__()
        hidden, cameras = config.hidden_dim, len(config.image_features)
        self.state_proj = nn.Linear(config.state_dim, hidden)
        self.step_embedding = nn.Parameter(0.02 * torch.randn(config.n_obs_steps, hidden))
        self.image_proj = nn.Linear(image_dim, hidden) if cameras else None
        # The encoder gives a patch its position within the image, but does not say which camera it is from.
        self.camera_embedding = nn.Parameter(0.02 * torch.randn(cameras, 1, hidden)) if cameras else None
        self.norm = nn.LayerNorm(hidden)
        self.register_buffer("positions", None, persistent=False)

    def set_positions(self, positions: Tensor) -> None:
        """Add embeddings (P - 1, H) to an image's patches, whose encoder gives them none."""
        self.positions = torch.cat((torch.zeros_like(positions[:1]), positions))  # (P, H)

    def forward(self, image_features: Tensor | None, state: Tensor, text: Tensor) -> Tensor:
        """(B, I, N, P, F) or None, (B, S, D), (B, H) or (B, X, H) -> (B, K, H)."""
        words = text if text.ndim == 3 else text.unsqueeze(1)  # (B, X, H)
        parts = [words, self.state_proj(state) + self.step_embedding]
        if self.image_proj is not None and image_features is not None:
            step = self.step_embedding[-image_features.shape[1] :, None, None]  # (I, 1, 1, H)
            images = self.image_proj(image_features) + self.camera_embedding + step  # (B, I, N, P, H)
            if self.positions is not None:
                images = images + self.positions
            parts.append(images.flatten(1, 3))
        return self.norm(torch.cat(parts, dim=1))

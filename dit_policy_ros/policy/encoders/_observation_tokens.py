# SPDX-License-Identifier: Apache-2.0
"""The observation as a set of tokens, for the conditionings that attend to it.

Shapes: B batch, S observation steps, I of them whose images are read, N cameras, P tokens per image,
F image feature, D state entries, H hidden, K = 1 + S + I N P tokens.
"""

import torch
from torch import Tensor, nn

from dit_policy_ros.policy.config import PolicyConfig


class ObservationTokens(nn.Module):
    """One token for the instruction, one for the state of each step, and those of the images."""

    def __init__(self, config: PolicyConfig, image_dim: int) -> None:
        super().__init__()
        hidden, cameras = config.hidden_dim, len(config.image_features)
        self.state_proj = nn.Linear(config.state_dim, hidden)
        self.step_embedding = nn.Parameter(0.02 * torch.randn(config.n_obs_steps, hidden))
        self.image_proj = nn.Linear(image_dim, hidden) if cameras else None
        # Patches carry their place within the image from the encoder, but not whose image it is.
        self.camera_embedding = nn.Parameter(0.02 * torch.randn(cameras, 1, hidden)) if cameras else None
        self.norm = nn.LayerNorm(hidden)

    def forward(self, image_features: Tensor | None, state: Tensor, text: Tensor) -> Tensor:
        """(B, I, N, P, F) or None, (B, S, D), (B, H) -> (B, K, H)."""
        parts = [text.unsqueeze(1), self.state_proj(state) + self.step_embedding]
        if self.image_proj is not None and image_features is not None:
            step = self.step_embedding[-image_features.shape[1] :, None, None]  # (I, 1, 1, H)
            images = self.image_proj(image_features) + self.camera_embedding + step  # (B, I, N, P, H)
            parts.append(images.flatten(1, 3))
        return self.norm(torch.cat(parts, dim=1))

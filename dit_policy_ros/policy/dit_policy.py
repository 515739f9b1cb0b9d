# SPDX-License-Identifier: Apache-2.0
"""The Multitask DiT network as a whole: encoders, transformer and objective.

Shapes: B batch, S observation steps, I of them whose images are read, N cameras, T horizon, D state and
A action entries, E text feature, F image feature, P tokens per image. With LeRobot's options the names of all
parameters are LeRobot's too.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.encoders import ObservationEncoder, VisionConfig
from dit_policy_ros.policy.network import DiffusionTransformer
from dit_policy_ros.policy.sampling import (
    NO_GUIDANCE,
    DiffusionObjective,
    FlowMatchingObjective,
    guided,
    predictor,
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Normalised training data; ``image_features`` stand in for ``images`` while the encoder is frozen."""

    state: Tensor  # (B, S, D)
    pooled_text: Tensor  # (B, E)
    action: Tensor  # (B, T, A)
    action_is_pad: Tensor | None = None  # bool (B, T)
    images: Tensor | None = None  # (B, I, N, 3, H, W)
    image_features: Tensor | None = None  # (B, I, N * F), or (B, I, N, P, F) for tokens


def make_objective(config: PolicyConfig) -> DiffusionObjective | FlowMatchingObjective:
    """The configured loss and sampler."""
    return (
        FlowMatchingObjective(config) if config.objective == "flow_matching" else DiffusionObjective(config)
    )


class DiTPolicy(nn.Module):
    """Loss and sampling in normalised units."""

    def __init__(self, config: PolicyConfig, vision: VisionConfig, text: CLIPTextConfig) -> None:
        """Build the network with random weights.

        Args:
            config: the policy's options.
            vision: architecture of the vision encoder(s).
            text: architecture of the text encoder.
        """
        super().__init__()
        self.config = config
        self.observation_encoder = ObservationEncoder(config, vision, text)
        self.noise_predictor = DiffusionTransformer(config, self.observation_encoder.output_dim)
        self.objective = make_objective(config)

    def forward(self, batch: Batch) -> Tensor:
        """The training loss of a batch, a scalar."""
        return self.objective.loss(
            self.noise_predictor, batch.action, batch.action_is_pad, self.observe(batch)
        )

    def observe(self, batch: Batch) -> Tensor:
        """What conditions the transformer, from a batch's images or their features."""
        features = batch.image_features
        if features is None and batch.images is not None:
            features = self.observation_encoder.encode_images(batch.images)
        return self.observation_encoder.join(features, batch.state, batch.pooled_text)

    @torch.no_grad()
    def sample(
        self, observation: Tensor, noise: Tensor | None = None, guidance_scale: float = NO_GUIDANCE
    ) -> Tensor:
        """Draw action sequences.

        Args:
            observation: (B, ...) from ``observation_encoder``; with guidance (2 B, ...), of which the second
                half is the first with the empty instruction.
            noise: (B, T, A) to start from; None draws it from torch's global generator.
            guidance_scale: 1.0 samples what the network predicts; another value guides (``guidance.py``).

        Returns:
            (B, T, A) in normalised units; row n_obs_steps - 1 is the action at the newest observation.
        """
        predict, batch = predictor(self.noise_predictor, observation), observation.shape[0]
        if guidance_scale != NO_GUIDANCE:
            predict, batch = guided(predict, guidance_scale), batch // 2
        if noise is None:
            shape = (batch, self.config.horizon, self.config.action_dim)
            noise = torch.randn(shape, dtype=observation.dtype, device=observation.device)
        return self.objective.sample(predict, noise)

    def vision_parameters(self) -> list[nn.Parameter]:
        """What is trained at the vision encoder's own learning rate."""
        return [p for name, p in self.named_parameters() if ".vision_encoder" in name and p.requires_grad]

    def mixer_parameters(self) -> list[nn.Parameter]:
        """What brings the observation together (``observation_layers``), with a learning rate of its own.

        The instruction's projection is part of it: the MLP knows instructions by what that makes of them.
        """
        encoder = self.observation_encoder
        if encoder.mixer is None:
            return []
        return [*encoder.mixer.parameters(), *encoder.text_encoder.projection.parameters()]

    def other_parameters(self) -> list[nn.Parameter]:
        """What is trained at the full learning rate; the frozen text encoder is in none of the lists."""
        apart = {id(p) for p in (*self.vision_parameters(), *self.mixer_parameters())}
        return [p for p in self.parameters() if id(p) not in apart and p.requires_grad]

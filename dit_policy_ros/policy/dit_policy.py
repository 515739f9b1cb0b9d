# SPDX-License-Identifier: Apache-2.0
"""The complete Multitask DiT network: encoders, transformer and objective.

With LeRobot's options all parameters have LeRobot's names.

Shapes: B batch, S observation steps, I of them with images (the newest), N cameras, T horizon, D state and
A action entries, E text feature, L text tokens, F image feature, P tokens per image, C entries of the
observation's vector, K observation tokens, H hidden.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.encoders import ObservationEncoder, TextConfig, VisionConfig
from dit_policy_ros.policy.network import DiffusionTransformer
from dit_policy_ros.policy.sampling import (
    GUIDANCE_OFF,
    DiffusionObjective,
    FlowMatchingObjective,
    classifier_free_guidance,
    given_actions,
    make_predictor,
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Normalised training data; with a frozen vision encoder ``image_features`` replace ``images``."""

    state: Tensor  # (B, S, D)
    pooled_text: Tensor  # (B, E), or (B, 1 + L, E) of all tokens
    action: Tensor  # (B, T, A)
    action_is_pad: Tensor | None = None  # bool (B, T)
    images: Tensor | None = None  # (B, I, N, 3, H, W)
    image_features: Tensor | None = None  # (B, I, N * F), or (B, I, N, P, F) for tokens
    has_entry: Tensor | None = None  # bool (B, A) the action entries of the example's robot; None: all


def make_objective(config: PolicyConfig) -> DiffusionObjective | FlowMatchingObjective:
    """The configured loss and sampler."""
    return (
        FlowMatchingObjective(config) if config.objective == "flow_matching" else DiffusionObjective(config)
    )


class DiTPolicy(nn.Module):
    """Loss and sampling in normalised units."""

    def __init__(self, config: PolicyConfig, vision: VisionConfig, text: TextConfig) -> None:
        """Build the network with random weights.

        Args:
            config: the policy's options.
            vision: architecture of the vision encoders.
            text: architecture of the text encoder.
        """
        super().__init__()
        self.config = config
        self.observation_encoder = ObservationEncoder(config, vision, text)
        self.noise_predictor = DiffusionTransformer(config, self.observation_encoder.output_dim)
        self.objective = make_objective(config)

    def forward(self, batch: Batch) -> Tensor:
        """The training loss of a batch, a scalar."""
        parts = self.noise_predictor, batch.action, batch.action_is_pad, self.encode(batch)
        return self.objective.loss(*parts, batch.has_entry)

    def encode(self, batch: Batch) -> Tensor:
        """Encode what the transformer is conditioned on: (B, C), or tokens (B, K, H)."""
        features = batch.image_features
        if features is None and batch.images is not None:
            features = self.observation_encoder.encode_images(batch.images)
        return self.observation_encoder.combine(features, batch.state, batch.pooled_text)

    def encode_images(self, images: Tensor) -> Tensor:
        """Features of images for ``Batch.image_features``: (B, I, N, 3, H, W) -> (B, I, N * F) or tokens."""
        return self.observation_encoder.encode_images(images)

    def predict(self, batch: Batch) -> Tensor:
        """Draw an action sequence for each observation of a batch: (B, T, A) in normalised units."""
        return self.sample(self.encode(batch), has_entry=batch.has_entry)

    @torch.no_grad()
    def sample(
        self,
        observation: Tensor,
        noise: Tensor | None = None,
        guidance_scale: float = GUIDANCE_OFF,
        has_entry: Tensor | None = None,
    ) -> Tensor:
        """Draw action sequences.

        Args:
            observation: (B, C) or (B, K, H) from ``observation_encoder``. With guidance (2 B, ...), of which
                the second half is the first with the empty instruction.
            noise: (B, T, A) to start from; None draws it from torch's global generator.
            guidance_scale: of classifier-free guidance; 1.0 is off.
            has_entry: bool (B, A) the action entries that each example's robot has; the others stay 0. None:
                all.

        Returns:
            (B, T, A) in normalised units; row n_obs_steps - 1 is the action at the newest observation.
        """
        predict, batch = make_predictor(self.noise_predictor, observation), observation.shape[0]
        if self.config.trained_delay:
            predict = given_actions(predict, None, None)
        if guidance_scale != GUIDANCE_OFF:
            predict, batch = classifier_free_guidance(predict, guidance_scale), batch // 2
        if noise is None:
            shape = (batch, self.config.horizon, self.config.action_dim)
            noise = torch.randn(shape, dtype=observation.dtype, device=observation.device)
        if has_entry is None:
            return self.objective.sample(predict, noise)
        mask = has_entry.unsqueeze(1)  # (B, 1, A)
        return self.objective.sample(
            lambda x, t: predict(x, t) * mask, noise * mask, constrain=lambda x, t: x * mask
        )

    def vision_parameters(self) -> list[nn.Parameter]:
        """The trainable parameters of the vision encoders, which have their own learning rate."""
        return [p for name, p in self.named_parameters() if ".vision_encoder" in name and p.requires_grad]

    def fusion_parameters(self) -> list[nn.Parameter]:
        """The parameters of the fusion MLP (``observation_layers``), which have their own learning rate.

        They include what the MLP depends on: the instruction's projection, and the attention over cells.
        """
        encoder = self.observation_encoder
        if encoder.mixer is None:
            return []
        before = [encoder.text_encoder.projection, encoder.attention_pooling]
        modules = [encoder.mixer, *(module for module in before if module is not None)]
        return [parameter for module in modules for parameter in module.parameters()]

    def other_parameters(self) -> list[nn.Parameter]:
        """The parameters trained at the full learning rate; the frozen text encoder is in no list."""
        others = {id(p) for p in (*self.vision_parameters(), *self.fusion_parameters())}
        return [p for p in self.parameters() if id(p) not in others and p.requires_grad]

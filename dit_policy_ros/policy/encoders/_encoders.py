# SPDX-License-Identifier: Apache-2.0
"""From images, state and instruction to what conditions the transformer: one vector, or tokens.

Shapes: B batch, S observation steps, I of them whose images are read, the newest ones, N cameras, F image
feature, P tokens per image, E text feature, L text tokens, H hidden, C entries of the vector, K observation
tokens.
Parameter names are those of LeRobot's ``multi_task_dit``.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.encoders._fusion import FusionMLP
from dit_policy_ros.policy.encoders._observation_tokens import ObservationTokens
from dit_policy_ros.policy.encoders._vision import VisionConfig, VisionEncoder

__all__ = ["ObservationEncoder", "TextEncoder", "VisionEncoder"]


class TextEncoder(nn.Module):
    """A frozen CLIP text transformer and the trained projection of its pooled output."""

    def __init__(self, architecture: CLIPTextConfig, hidden: int) -> None:
        super().__init__()
        self.text_encoder = CLIPTextModel(architecture).requires_grad_(False)
        self.projection = nn.Linear(architecture.hidden_size, hidden)

    @torch.no_grad()
    def pool(self, token_ids: Tensor, token_mask: Tensor) -> Tensor:
        """The frozen part: (B, L) ids, (B, L) bool mask -> (B, E)."""
        return self.text_encoder(input_ids=token_ids, attention_mask=token_mask).pooler_output

    def forward(self, pooled: Tensor) -> Tensor:
        """The trained part: (B, E) -> (B, H)."""
        return self.projection(pooled)


class ObservationEncoder(nn.Module):
    """State, image and text features of every observation step, concatenated or as tokens."""

    def __init__(self, config: PolicyConfig, vision: VisionConfig, text: CLIPTextConfig) -> None:
        super().__init__()
        self.config = config
        cameras = len(config.image_features)
        self.vision_encoder = None
        self.vision_encoders = None
        if cameras and config.use_separate_rgb_encoder_per_camera:
            self.vision_encoders = nn.ModuleList(VisionEncoder(vision) for _ in range(cameras))
        elif cameras:
            self.vision_encoder = VisionEncoder(vision)
        self.text_encoder = TextEncoder(text, config.hidden_dim)
        of_images = config.read_image_steps * cameras * vision.hidden_size
        self.output_dim = config.n_obs_steps * (config.state_dim + config.hidden_dim) + of_images
        self.mixer = None
        if config.observation_layers:
            self.mixer = FusionMLP(self.output_dim, config.hidden_dim, config.observation_layers)
            self.output_dim = config.n_obs_steps * config.state_dim + 2 * config.hidden_dim
        self.tokens = None
        if config.conditioning != "adaln":
            self.tokens = ObservationTokens(config, vision.hidden_size)
            self.output_dim = config.hidden_dim

    @property
    def a_vision_encoder(self) -> VisionEncoder | None:
        """The vision encoder; of several, which have one architecture, the first; None without cameras."""
        encoders = [self.vision_encoder] if self.vision_encoders is None else self.vision_encoders
        return next(iter(encoders))  # type: ignore[return-value]  # a ModuleList does not say what it holds

    @property
    def reads_patches(self) -> bool:
        """Whether the tokens of an image's patches are used, not only the vector of the whole."""
        return self.tokens is not None and self.config.image_tokens == "all"

    def forward(self, images: Tensor | None, state: Tensor, pooled_text: Tensor) -> Tensor:
        """Encode a batch of observations.

        Args:
            images: normalised (B, I, N, 3, H, W) in the checkpoint's camera order; None without cameras.
            state: normalised (B, S, D).
            pooled_text: (B, E) from ``TextEncoder.pool``.

        Returns:
            The vector (B, C) for ``adaln``, C = S * (D + H) + I * N * F, or S * D + 2 H with
            ``observation_layers``; for the other conditionings tokens (B, K, H).
        """
        return self.join(None if images is None else self.encode_images(images), state, pooled_text)

    def join(self, image_features: Tensor | None, state: Tensor, pooled_text: Tensor) -> Tensor:
        """Put together what is known of each step.

        Args:
            image_features: from ``encode_images``; None without cameras.
            state: normalised (B, S, D).
            pooled_text: (B, E).

        Returns:
            As ``forward``.
        """
        text, state = self.text_encoder(pooled_text), self.states(state)  # (B, H), (B, S, D)
        if self.tokens is not None:
            return self.tokens(image_features, state, text)
        vector = self.concatenate(image_features, state, text)
        return vector if self.mixer is None else self.mixer(vector, state, text)

    def states(self, state: Tensor) -> Tensor:
        """States as the network reads them, (B, S, D) -> (B, S, D): older ones as differences, if asked for.

        Two states a frame apart are nearly the same number. What tells a motion that has begun from rest is
        their difference, which a network that gets it in units of its own finds sooner.
        """
        scale = self.config.state_differences
        if not scale:
            return state
        newest = state[:, -1:]  # (B, 1, D)
        return torch.cat((scale * (state[:, :-1] - newest), newest), dim=1)

    def concatenate(self, image_features: Tensor | None, state: Tensor, text: Tensor) -> Tensor:
        """LeRobot's vector, step by step: (B, I, N * F) or None, (B, S, D), (B, H) -> (B, C)."""
        repeated = text.unsqueeze(1).expand(-1, state.shape[1], -1)  # (B, S, H)
        if image_features is None:
            return torch.cat([state, repeated], dim=-1).flatten(1)
        unseen = state.shape[1] - image_features.shape[1]  # oldest steps, of which no image is read
        older = torch.cat([state[:, :unseen], repeated[:, :unseen]], dim=-1)
        newer = torch.cat([state[:, unseen:], image_features, repeated[:, unseen:]], dim=-1)
        return torch.cat([older.flatten(1), newer.flatten(1)], dim=-1)

    def encode_images(self, images: Tensor) -> Tensor:
        """Features of every frame: (B, I, N, 3, H, W) -> (B, I, N * F), or (B, I, N, P, F) for tokens."""
        batch, steps, cameras = images.shape[:3]
        if self.vision_encoders is not None:
            per_camera = [
                self.encode_camera(camera, images[:, :, camera].flatten(0, 1)).unflatten(0, (batch, steps))
                for camera in range(cameras)
            ]
            features = torch.stack(per_camera, dim=2)  # (B, I, N, P, F)
        elif self.vision_encoder is not None:
            flat = self.read(self.vision_encoder, images.flatten(0, 2))  # (B I N, P, F)
            features = flat.unflatten(0, (batch, steps, cameras))
        else:
            raise ValueError("images were given to a policy without cameras")
        return features if self.tokens is not None else features.flatten(2)

    def encode_camera(self, camera: int, images: Tensor) -> Tensor:
        """Features of one camera's frames, given by its number: (M, 3, H, W) -> (M, P, F)."""
        encoder = self.vision_encoder if self.vision_encoders is None else self.vision_encoders[camera]
        if encoder is None:
            raise ValueError("images were given to a policy without cameras")
        return self.read(encoder, images)

    def read(self, encoder: nn.Module, images: Tensor) -> Tensor:
        """Resize, crop and encode normalised images: (M, 3, H, W) -> (M, P, F).

        P is 1 where one vector per image is asked for. ``encoder`` is one of ours, or does the same.
        """
        return self.features(encoder, self.resize_and_crop(images))

    def features(self, encoder: nn.Module, images: Tensor) -> Tensor:
        """Encode images of the size that encoders read: (M, 3, h, w) -> (M, P, F)."""
        features = encoder(images, self.reads_patches)
        return features if self.reads_patches else features.unsqueeze(1)

    def resize_and_crop(self, images: Tensor) -> Tensor:
        """(M, 3, H, W) -> (M, 3, h, w): resized, then cropped; at random in training, else centrally."""
        size = self.config.image_resize_shape
        if size is not None and tuple(images.shape[-2:]) != size:
            images = functional.interpolate(
                images, size, mode="bilinear", align_corners=False, antialias=True
            )
        crop = self.config.crop_shape
        if crop is None:
            return images
        spare = (images.shape[-2] - crop[0], images.shape[-1] - crop[1])
        if self.training and self.config.image_crop_is_random:
            # One place for the whole batch, and no draw without spare room: LeRobot's use of the generator.
            top, left = (int(torch.randint(0, s + 1, (1,))) for s in spare) if any(spare) else (0, 0)
        else:
            top, left = (round(s / 2.0) for s in spare)
        return images[..., top : top + crop[0], left : left + crop[1]]

# SPDX-License-Identifier: Apache-2.0
"""Encodes images, states and the instruction into one vector, or into tokens.

Parameter names are those of LeRobot's ``multi_task_dit``.

Shapes: B batch, S observation steps, I of them with images (the newest), N cameras, F image feature,
P tokens per image, E text feature, L text tokens, D state entries, H hidden, C entries of the vector,
K observation tokens, M any number of images.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.encoders._attention_pooling import AttentionPooling, CameraAttentionPooling
from dit_policy_ros.policy.encoders._blur import blurred
from dit_policy_ros.policy.encoders._cnn import (
    CnnConfig,
    cell_centres,
    grid_features,
    grid_positions,
    grid_shape,
)
from dit_policy_ros.policy.encoders._fusion import FusionMLP, ObservationTokens
from dit_policy_ros.policy.encoders._text import TextConfig, TextEncoder
from dit_policy_ros.policy.encoders._vision import VisionConfig, VisionEncoder, image_features


class ObservationEncoder(nn.Module):
    """State, image and text features of every observation step, concatenated or as tokens."""

    def __init__(self, config: PolicyConfig, vision: VisionConfig, text: TextConfig) -> None:
        super().__init__()
        self.config = config
        cameras = len(config.image_features)
        self.vision_encoder = None
        self.vision_encoders = None
        pooling = config.image_pooling, config.encoded_size if cameras else None
        if cameras and config.use_separate_rgb_encoder_per_camera:
            self.vision_encoders = nn.ModuleList(VisionEncoder(vision, *pooling) for _ in range(cameras))
        elif cameras:
            self.vision_encoder = VisionEncoder(vision, *pooling)
        self.text_encoder = TextEncoder(text, config.hidden_dim, config.text_tokens == "all")
        self.image_dim = image_features(vision, *pooling)  # F
        self.attention_pooling: AttentionPooling | CameraAttentionPooling | None = None
        if cameras and isinstance(vision, CnnConfig) and config.image_pooling == "attention":
            centres = cell_centres(grid_shape(vision, config.encoded_size))
            sizes = grid_features(vision), centres, config.hidden_dim, config.attended_features
            if config.heads_per_camera:
                self.attention_pooling = CameraAttentionPooling(cameras, *sizes)
            else:
                self.attention_pooling = AttentionPooling(*sizes)
            self.image_dim = self.attention_pooling.image_dim
        image_dim = config.read_image_steps * cameras * self.image_dim
        self.output_dim = config.n_obs_steps * (config.state_dim + config.hidden_dim) + image_dim
        self.mixer = None  # the fusion MLP; its name is part of the parameter names in checkpoints
        if config.observation_layers:
            self.mixer = FusionMLP(self.output_dim, config.fused_dim, config.observation_layers)
            self.output_dim = config.n_obs_steps * config.state_dim + config.hidden_dim + config.fused_dim
            self.output_dim += image_dim if config.image_skip else 0
        self.tokens = None
        if config.conditioning != "adaln":
            self.tokens = ObservationTokens(config, self.image_dim)
            if cameras and isinstance(vision, CnnConfig) and config.image_tokens == "all":
                shape = grid_shape(vision, config.encoded_size)
                self.tokens.set_positions(grid_positions(shape, config.hidden_dim))
            self.output_dim = config.hidden_dim

    @property
    def first_vision_encoder(self) -> VisionEncoder | None:
        """The vision encoder, or the first of the cameras' encoders (all alike); None without cameras."""
        encoders = [self.vision_encoder] if self.vision_encoders is None else self.vision_encoders
        return next(iter(encoders))  # type: ignore[return-value]  # a ModuleList does not say what it holds

    @property
    def uses_patch_tokens(self) -> bool:
        """Whether an image gives one token per patch, beside the vector of the whole image."""
        return self.tokens is not None and self.config.image_tokens == "all"

    def forward(self, images: Tensor | None, state: Tensor, pooled_text: Tensor) -> Tensor:
        """Encode a batch of observations.

        Args:
            images: normalised (B, I, N, 3, H, W) in the checkpoint's camera order; None without cameras.
            state: normalised (B, S, D).
            pooled_text: from ``TextEncoder.pool``: (B, E), or (B, 1 + L, E) with ``text_tokens: all``.

        Returns:
            The vector (B, C) for ``adaln``, C = S * (D + H) + I * N * F, or S * D + H + W with
            ``observation_layers`` (W wide), and I * N * F more with ``image_skip``; for the other
            conditionings tokens (B, K, H).
        """
        return self.combine(None if images is None else self.encode_images(images), state, pooled_text)

    def combine(self, image_features: Tensor | None, state: Tensor, pooled_text: Tensor) -> Tensor:
        """Combine the features of images, states and the instruction.

        Args:
            image_features: from ``encode_images``; None without cameras.
            state: normalised (B, S, D).
            pooled_text: (B, E), or (B, 1 + L, E).

        Returns:
            As ``forward``.
        """
        text, state = self.text_encoder(pooled_text), self.state_features(state)  # (B, H), (B, S, D)
        if self.tokens is not None:
            return self.tokens(image_features, state, text)
        if self.attention_pooling is not None and image_features is not None:
            image_features = self.attention_pooling(image_features, text)
        vector = self.concatenate(image_features, state, text)
        if self.mixer is None:
            return vector
        if self.config.image_skip and image_features is not None:
            return self.mixer(vector, state, text, image_features)
        return self.mixer(vector, state, text)

    def state_features(self, state: Tensor) -> Tensor:
        """With ``state_differences``, replace older states by scaled differences: (B, S, D) -> (B, S, D).

        Two states one frame apart are almost equal; only their difference tells a motion that has begun from
        rest. The network learns from the difference sooner when it gets it as an input of its own scale.
        """
        if not self.config.state_differences:
            return state
        if slots := len(self.config.unified_slots):  # the second half says which entries there are
            values, has_entry = state[..., :slots], state[..., slots:]
            return torch.cat((self._differences(values), has_entry), dim=-1)
        return self._differences(state)

    def _differences(self, state: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        newest = state[:, -1:]  # (B, 1, D)
        return torch.cat((self.config.state_differences * (state[:, :-1] - newest), newest), dim=1)

    def concatenate(self, image_features: Tensor | None, state: Tensor, text: Tensor) -> Tensor:
        """LeRobot's vector, step after step: (B, I, N * F) or None, (B, S, D), (B, H) -> (B, C)."""
        repeated = text.unsqueeze(1).expand(-1, state.shape[1], -1)  # (B, S, H)
        if image_features is None:
            return torch.cat([state, repeated], dim=-1).flatten(1)
        imageless = state.shape[1] - image_features.shape[1]  # the oldest steps, whose images are not used
        older = torch.cat([state[:, :imageless], repeated[:, :imageless]], dim=-1)
        newer = torch.cat([state[:, imageless:], image_features, repeated[:, imageless:]], dim=-1)
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
            flat = self.preprocess_and_encode(self.vision_encoder, images.flatten(0, 2))  # (B I N, P, F)
            features = flat.unflatten(0, (batch, steps, cameras))
        else:
            raise ValueError("got images, but the policy has no cameras")
        return features if self.tokens is not None else features.flatten(2)

    def encode_camera(self, camera: int, images: Tensor) -> Tensor:
        """Features of the frames of one camera, given by its index: (M, 3, H, W) -> (M, P, F)."""
        encoder = self.vision_encoder if self.vision_encoders is None else self.vision_encoders[camera]
        if encoder is None:
            raise ValueError("got images, but the policy has no cameras")
        return self.preprocess_and_encode(encoder, images)

    def preprocess_and_encode(self, encoder: nn.Module, images: Tensor) -> Tensor:
        """Resize, blur, crop and encode normalised images: (M, 3, H, W) -> (M, P, F)."""
        return self.encode_preprocessed(encoder, self.resize_and_crop(images))

    def encode_preprocessed(self, encoder: nn.Module, images: Tensor) -> Tensor:
        """Encode images of the encoder's size: (M, 3, h, w) -> (M, P, F).

        P is 1 without patch tokens. ``encoder`` is a ``VisionEncoder``, or a module with the same interface.
        """
        features = encoder(images, self.uses_patch_tokens)
        return features if self.uses_patch_tokens else features.unsqueeze(1)

    def resize_and_crop(self, images: Tensor) -> Tensor:
        """Resize, blur and crop, at random in training, else centrally: (M, 3, H, W) -> (M, 3, h, w)."""
        size = self.config.image_resize_shape
        if size is not None and tuple(images.shape[-2:]) != size:
            images = functional.interpolate(
                images, size, mode="bilinear", align_corners=False, antialias=True
            )
        if self.config.image_blur:
            images = blurred(images, self.config.image_blur)
        crop = self.config.crop_shape
        if crop is None:
            return images
        margin = (images.shape[-2] - crop[0], images.shape[-1] - crop[1])
        if self.training and self.config.image_crop_is_random:
            # As in LeRobot: one place for the whole batch, and no random numbers are drawn without a margin.
            top, left = (int(torch.randint(0, m + 1, (1,))) for m in margin) if any(margin) else (0, 0)
        else:
            top, left = (round(m / 2.0) for m in margin)
        return images[..., top : top + crop[0], left : left + crop[1]]

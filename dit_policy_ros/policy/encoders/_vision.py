# SPDX-License-Identifier: Apache-2.0
"""Vision encoders of several families: one vector per image and, if asked for, one token per patch.

| family | vector of an image | source |
|---|---|---|
| clip | class token before the last norm, as in LeRobot | Radford et al. 2021, arXiv 2103.00020 |
| dinov2, dinov2_with_registers | class token | arXiv 2304.07193, arXiv 2309.16588 |
| dinov3 | class token | Siméoni et al. 2025, arXiv 2508.10104 |
| siglip | output of the attention-pooling head; it has no class token | Zhai et al. 2023, arXiv 2303.15343 |

| resnet, efficientnet | as ``image_pooling`` says | ``_cnn.py`` |

Shapes: B images, P patches or cells of a grid, F feature.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    EfficientNetConfig,
    ResNetConfig,
    ResNetModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.encoders._cnn import CnnConfig, EfficientNet, grid_stride, pooled, pooled_features
from dit_policy_ros.policy.encoders._packaged import packaged_architecture

VisionConfig = (
    CLIPVisionConfig
    | Dinov2Config
    | Dinov2WithRegistersConfig
    | DINOv3ViTConfig
    | SiglipVisionConfig
    | CnnConfig
)


@dataclass(frozen=True, slots=True)
class EncoderFamily:
    """The classes of one family of encoders, and how it differs from the others."""

    config: type[Any]
    model: type[Any]
    model_types: tuple[str, ...]  # model_type in config.json: of the vision encoder, or of an image-text pair
    unused: tuple[str, ...] = ()  # parameters that no feature depends on
    class_tokens: int = 1  # before the registers and the patches
    accepts_any_size: bool = False  # any multiple of the patch size, not only the training size


FAMILIES: Mapping[str, EncoderFamily] = {
    "clip": EncoderFamily(
        CLIPVisionConfig,
        CLIPVisionModel,
        ("clip", "clip_vision_model"),
        unused=("post_layernorm.weight", "post_layernorm.bias"),
    ),
    "dinov2": EncoderFamily(
        Dinov2Config, Dinov2Model, ("dinov2",), unused=("embeddings.mask_token",), accepts_any_size=True
    ),
    "dinov2_with_registers": EncoderFamily(
        Dinov2WithRegistersConfig,
        Dinov2WithRegistersModel,
        ("dinov2_with_registers",),
        unused=("embeddings.mask_token",),
        accepts_any_size=True,
    ),
    "dinov3": EncoderFamily(
        DINOv3ViTConfig,
        DINOv3ViTModel,
        ("dinov3_vit",),
        unused=("embeddings.mask_token",),
        accepts_any_size=True,
    ),
    "siglip": EncoderFamily(
        SiglipVisionConfig, SiglipVisionModel, ("siglip", "siglip_vision_model"), class_tokens=0
    ),
}
"""The vision transformers, by the values of the option ``vision_encoder_family``."""

CNN_FAMILIES: Mapping[str, EncoderFamily] = {
    "resnet": EncoderFamily(ResNetConfig, ResNetModel, ("resnet",), class_tokens=0, accepts_any_size=True),
    "efficientnet": EncoderFamily(
        EfficientNetConfig, EfficientNet, ("efficientnet",), class_tokens=0, accepts_any_size=True
    ),
}
"""The convolutional networks, likewise."""

ALL_FAMILIES: Mapping[str, EncoderFamily] = {**FAMILIES, **CNN_FAMILIES}


def family_of(architecture: VisionConfig) -> EncoderFamily:
    """The family of an architecture; ValueError if it is of none."""
    for family in ALL_FAMILIES.values():
        if type(architecture) is family.config:
            return family
    names = ", ".join(ALL_FAMILIES)
    raise ValueError(f"expected an architecture of the families {names}, got {type(architecture).__name__}")


def image_features(
    architecture: VisionConfig, pooling: str = "mean", size: tuple[int, int] | None = None
) -> int:
    """F, the number of entries of an image's vector.

    Args:
        architecture: of the encoder.
        pooling: the option ``image_pooling``.
        size: (height, width) [pixel] of the images, for the poolings ``grid`` and ``attention``.
    """
    if isinstance(architecture, CnnConfig):
        return pooled_features(architecture, pooling, size)
    return architecture.hidden_size


def read_architecture(family: str, place: str, local_files_only: bool) -> VisionConfig:
    """Read an encoder's architecture.

    Args:
        family: a key of ALL_FAMILIES.
        place: a folder with a config.json, a package's name, or a name on the hub. Of an image-text pair
            (CLIP, SigLIP) the vision encoder is read.
        local_files_only: do not access the hub.

    Raises:
        CheckpointError: the encoder is of another family.
    """
    known, packaged = ALL_FAMILIES[family], packaged_architecture(place)
    if packaged is not None and isinstance(packaged, known.config):
        return packaged
    found = known.config.get_config_dict(place, local_files_only=local_files_only)[0].get("model_type")
    if found not in known.model_types:
        hint = [name for name, other in ALL_FAMILIES.items() if found in other.model_types]
        raise CheckpointError(
            f"{place}: expected an encoder of the vision_encoder_family {family!r}, got model_type {found!r}"
            + (
                f"; set vision_encoder_family to {hint[0]!r}"
                if hint
                else f"; known: {', '.join(ALL_FAMILIES)}"
            )
        )
    return known.config.from_pretrained(place, local_files_only=local_files_only)


class VisionEncoder(nn.Module):
    """A vision encoder of any of the families."""

    def __init__(
        self, architecture: VisionConfig, pooling: str = "mean", size: tuple[int, int] | None = None
    ) -> None:
        """Build the encoder with random weights.

        Args:
            architecture: of any of the families.
            pooling: of a CNN's grid, see ``image_pooling`` in the policy's options.
            size: (height, width) [pixel] of the images, for the poolings ``grid`` and ``attention``.

        Raises:
            CheckpointError: a SigLIP without its pooling head, which gives no vector for the whole image.
        """
        super().__init__()
        family = family_of(architecture)
        if isinstance(architecture, SiglipVisionConfig) and not architecture.vision_use_head:
            raise CheckpointError(
                "vision encoder: vision_use_head: expected true, got false; without its pooling head "
                "a SigLIP has no vector for the whole image"
            )
        self.model = family.model(architecture)
        self.feature_dim = image_features(architecture, pooling, size)  # F
        self.is_cnn, self._pooling, self._size = isinstance(architecture, CnnConfig), pooling, size
        self.has_class_token = family.class_tokens == 1
        self._first_patch = family.class_tokens + getattr(architecture, "num_register_tokens", 0)
        for name, parameter in self.model.named_parameters():
            if name in family.unused:
                # It never gets a gradient; distributed training reports trainable parameters without one.
                parameter.requires_grad_(False)

    def train(self, mode: bool = True) -> "VisionEncoder":
        """Set the mode. A CNN's batch statistics and dropout stay as they are at inference, as in ACT.

        A batch of neighbouring frames says little of all images (Zhao et al. 2023, arXiv 2304.13705).
        """
        super().train(mode and not self.is_cnn)
        self.training = mode
        return self

    def forward(self, images: Tensor, patches: bool = False) -> Tensor:
        """(B, 3, H, W) -> one vector per image (B, F); with ``patches`` also its patches (B, 1 + P, F)."""
        output = self.model(pixel_values=images)
        hidden = output.last_hidden_state  # (B, class + registers + P, F), of a CNN (B, F, h, w)
        if self.is_cnn:
            whole, tokens = pooled(hidden, self._pooling, self._size), hidden.flatten(2).transpose(1, 2)
        else:
            whole = hidden[:, 0] if self.has_class_token else output.pooler_output  # (B, F)
            tokens = hidden[:, self._first_patch :]
        return torch.cat((whole[:, None], tokens), dim=1) if patches else whole


def image_size_error(architecture: VisionConfig, size: tuple[int, int]) -> str | None:
    """Why the encoder cannot encode images of ``size`` (height, width) [pixel]; None if it can."""
    if isinstance(architecture, CnnConfig):
        stride = grid_stride(architecture)
        fits = all(side and side % stride == 0 for side in size)
        return None if fits else f"it needs multiples of {stride}"
    side, patch = architecture.image_size, architecture.patch_size
    if not isinstance(side, int) or not isinstance(patch, int):
        return f"its image_size and patch_size must be one number each, got {side} and {patch}"
    if family_of(architecture).accepts_any_size:
        fits = size[0] % patch == 0 and size[1] % patch == 0
        return None if fits else f"it needs multiples of {patch}"
    return None if size == (side, side) else f"it needs {side}x{side}"

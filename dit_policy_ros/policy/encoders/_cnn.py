# SPDX-License-Identifier: Apache-2.0
"""Convolutional vision encoders: their grid of features, and how it becomes one vector.

| family | networks | source |
|---|---|---|
| resnet | ResNet-18 to ResNet-152 | He et al. 2015, arXiv 1512.03385 |
| efficientnet | EfficientNet-B0 to B7, and Lite0 to Lite4 | Tan and Le 2019, arXiv 1905.11946 |

EfficientNet-Lite has no squeeze-and-excitation: ``squeeze_expansion_ratio`` 0 in its config.json says so. A
network whose deeper layers were left out (``shortened``) has no last 1x1 convolution: ``hidden_dim`` 0.

Shapes: B images, F feature, h x w cells of the grid, P = h * w, G squares.
"""

import math
from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import EfficientNetConfig, EfficientNetModel, ResNetConfig
from transformers.models.efficientnet.modeling_efficientnet import round_filters

from dit_policy_ros.core.errors import CheckpointError

CnnConfig = ResNetConfig | EfficientNetConfig

SQUARE = 32  # [pixel] side of the squares that the pooling ``grid`` averages over

_POSITION_AMPLITUDE = 0.5
# Settings of an architecture in transformers, by stage and of the whole network.
_RESNET_STAGES = "hidden_sizes", "depths"
_RESNET = (
    "num_channels", "embedding_size", "layer_type", "hidden_act", "downsample_in_first_stage",
    "downsample_in_bottleneck",
)  # fmt: skip
_EFFICIENTNET_STAGES = (
    "kernel_sizes", "in_channels", "out_channels", "strides", "num_block_repeats", "expand_ratios",
)  # fmt: skip
_EFFICIENTNET = (
    "num_channels", "image_size", "width_coefficient", "depth_coefficient", "depth_divisor",
    "depthwise_padding", "squeeze_expansion_ratio", "hidden_act", "batch_norm_eps", "batch_norm_momentum",
    "dropout_rate", "drop_connect_rate",
)  # fmt: skip


class EfficientNet(EfficientNetModel):
    """EfficientNet of transformers; without what the configuration says that it lacks."""

    def __init__(self, config: EfficientNetConfig) -> None:
        super().__init__(config)
        if not config.squeeze_expansion_ratio:
            for block in self.encoder.blocks:
                block.squeeze_excite = nn.Identity()
        if not config.hidden_dim:
            for name in ("top_conv", "top_bn", "top_activation"):
                setattr(self.encoder, name, nn.Identity())
            self.pooler = nn.AdaptiveAvgPool2d(1)  # transformers' one is of the size of hidden_dim


def _widths(architecture: ResNetConfig) -> Sequence[int]:
    """Features of each stage; ValueError if the configuration has none."""
    if not architecture.hidden_sizes:
        raise ValueError("a ResNet without hidden_sizes")
    return architecture.hidden_sizes


def grid_features(architecture: CnnConfig) -> int:
    """F, the number of features of a cell."""
    if isinstance(architecture, ResNetConfig):
        return _widths(architecture)[-1]
    return architecture.hidden_dim or round_filters(architecture, architecture.out_channels[-1])


def grid_stride(architecture: CnnConfig) -> int:
    """Side of the square that one cell stands for [pixel]; 32 in all published networks."""
    return _strides(architecture)[-1]


def _strides(architecture: CnnConfig) -> list[int]:
    """Side of a cell's square [pixel] after each stage."""
    if isinstance(architecture, ResNetConfig):  # the first layers take 4
        first = 8 if architecture.downsample_in_first_stage else 4
        return [first * 2**stage for stage in range(len(_widths(architecture)))]
    return [2 * taken for taken in accumulate(architecture.strides, mul)]


def shortened(architecture: CnnConfig, stride: int) -> CnnConfig:
    """The architecture up to the last stage whose cells are squares of ``stride`` [pixel].

    What the middle of a network sees is where it is in the image; its end tells what the image shows.

    Raises:
        CheckpointError: no stage has such cells; the message lists those that there are.
    """
    strides = _strides(architecture)
    if stride not in strides:
        known = ", ".join(map(str, dict.fromkeys(strides)))
        raise CheckpointError(f"vision_stride: expected one of {known} or 0 (all layers), got {stride}")
    count = len(strides) - strides[::-1].index(stride)
    if count == len(strides):
        return architecture
    settings: dict[str, Any] = architecture.to_dict()
    of_stages = _RESNET_STAGES if isinstance(architecture, ResNetConfig) else _EFFICIENTNET_STAGES
    kept: dict[str, Any] = {name: settings[name][:count] for name in of_stages}
    if isinstance(architecture, ResNetConfig):
        return ResNetConfig(**kept, **{name: settings[name] for name in _RESNET})
    return EfficientNetConfig(**kept, **{name: settings[name] for name in _EFFICIENTNET}, hidden_dim=0)


def grid_shape(architecture: CnnConfig, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the grid of an image of ``size`` (height, width) [pixel], in whole strides."""
    stride = grid_stride(architecture)
    return size[0] // stride, size[1] // stride


def squares_shape(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the squares that the pooling ``grid`` makes of an image (height, width) [pixel]."""
    return max(1, size[0] // SQUARE), max(1, size[1] // SQUARE)


def pooled_features(architecture: CnnConfig, pooling: str, size: tuple[int, int] | None) -> int:
    """Entries of an image's vector; ``size`` (height, width) [pixel] is for ``grid`` and ``attention``."""
    if pooling in ("grid", "attention"):
        if size is None:
            raise ValueError(f"the pooling {pooling!r} needs the size of the images")
        shape = squares_shape(size) if pooling == "grid" else grid_shape(architecture, size)
        return grid_features(architecture) * math.prod(shape)
    return grid_features(architecture) * (2 if pooling == "spatial_softmax" else 1)


def pooled(grid: Tensor, pooling: str, size: tuple[int, int] | None) -> Tensor:
    """One vector per image, from (B, F, h, w): its entries are those of ``pooled_features``.

    ``mean``: (B, F). ``spatial_softmax``: (B, 2 F). ``grid``: (B, F * G), each feature's mean in G squares.
    ``attention``: (B, P * F), cell after cell, for ``AttentionPooling``.
    """
    if pooling == "attention":
        return grid.flatten(2).transpose(1, 2).flatten(1)
    if pooling == "grid" and size is not None:
        return functional.adaptive_avg_pool2d(grid, squares_shape(size)).flatten(1)
    return spatial_softmax(grid) if pooling == "spatial_softmax" else grid.mean(dim=(2, 3))


def spatial_softmax(grid: Tensor) -> Tensor:
    """Where in the image each feature is: (B, F, h, w) -> (B, 2 F), first all columns, then all rows.

    Each feature's softmax over the cells weights their centres, which lie from -1 (left, top) to 1. Levine et
    al. 2016, arXiv 1504.00702, section 5.2.
    """
    weight = grid.flatten(2).softmax(dim=-1).unflatten(2, grid.shape[2:])  # (B, F, h, w)
    rows, columns = (_centres(count, grid) for count in grid.shape[2:])
    x = (weight.sum(dim=2) * columns).sum(dim=-1)  # (B, F)
    y = (weight.sum(dim=3) * rows).sum(dim=-1)  # (B, F)
    return torch.cat((x, y), dim=-1)


def grid_positions(shape: tuple[int, int], dim: int) -> Tensor:
    """Sine-cosine embeddings of the cells (P, dim), row after row; ``dim`` is a multiple of 4.

    A convolution gives a cell's features the same values anywhere in the image. Vaswani et al. 2017 (arXiv
    1706.03762), in two dimensions as in DETR (Carion et al. 2020, arXiv 2005.12872).
    """
    quarter = dim // 4
    frequency = 1.0 / 100 ** (torch.arange(quarter) / quarter)  # (dim / 4,) for grids of tens of cells

    def along(count: int) -> Tensor:
        angle = torch.arange(count)[:, None] * frequency  # (count, dim / 4)
        return torch.cat((angle.sin(), angle.cos()), dim=-1)  # (count, dim / 2)

    rows, columns = along(shape[0]), along(shape[1])
    both = (rows[:, None].expand(-1, shape[1], -1), columns[None].expand(shape[0], -1, -1))
    return _POSITION_AMPLITUDE * torch.cat(both, dim=-1).flatten(0, 1)


def cell_centres(shape: tuple[int, int]) -> Tensor:
    """Column and row of each cell of a grid, row after row, from -1 (left, top) to 1: (P, 2)."""
    rows, columns = (_centres(count, torch.empty(0)) for count in shape)
    return torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).flatten(0, 1)


def _centres(count: int, like: Tensor) -> Tensor:
    """Centres of ``count`` cells that divide -1 to 1."""
    return (2 * torch.arange(count, dtype=like.dtype, device=like.device) + 1) / count - 1

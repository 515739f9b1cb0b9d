# SPDX-License-Identifier: Apache-2.0
"""Convolutional vision encoders: their grid of features, and how it becomes one vector.

| family | networks | source |
|---|---|---|
| resnet | ResNet-18 to ResNet-152 | He et al. 2015, arXiv 1512.03385 |
| efficientnet | EfficientNet-B0 to B7, and Lite0 to Lite4 | Tan and Le 2019, arXiv 1905.11946 |

EfficientNet-Lite has no squeeze-and-excitation: ``squeeze_expansion_ratio`` 0 in its config.json says so.

Shapes: B images, F feature, h x w cells of the grid, P = h * w.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import EfficientNetConfig, EfficientNetModel, ResNetConfig

CnnConfig = ResNetConfig | EfficientNetConfig

_POSITION_AMPLITUDE = 0.5


class EfficientNet(EfficientNetModel):
    """EfficientNet of transformers, or without squeeze-and-excitation, as EfficientNet-Lite."""

    def __init__(self, config: EfficientNetConfig) -> None:
        super().__init__(config)
        if not config.squeeze_expansion_ratio:
            for block in self.encoder.blocks:
                block.squeeze_excite = nn.Identity()


def _widths(architecture: ResNetConfig) -> Sequence[int]:
    """Features of each stage; ValueError if the configuration has none."""
    if not architecture.hidden_sizes:
        raise ValueError("a ResNet without hidden_sizes")
    return architecture.hidden_sizes


def grid_features(architecture: CnnConfig) -> int:
    """F, the number of features of a cell."""
    if isinstance(architecture, ResNetConfig):
        return _widths(architecture)[-1]
    return architecture.hidden_dim


def grid_stride(architecture: CnnConfig) -> int:
    """Side of the square that one cell stands for [pixel]; 32 in all published networks."""
    if isinstance(architecture, ResNetConfig):
        halved = len(_widths(architecture)) - (not architecture.downsample_in_first_stage)
        return 4 * 2**halved  # the first layers take 4
    return 2 * math.prod(architecture.strides)


def grid_shape(architecture: CnnConfig, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the grid of an image of ``size`` (height, width) [pixel], in whole strides."""
    stride = grid_stride(architecture)
    return size[0] // stride, size[1] // stride


def pooled(grid: Tensor, pooling: str) -> Tensor:
    """One vector per image: (B, F, h, w) -> (B, F) for ``mean``, (B, 2 F) for ``spatial_softmax``."""
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


def _centres(count: int, like: Tensor) -> Tensor:
    """Centres of ``count`` cells that divide -1 to 1."""
    return (2 * torch.arange(count, dtype=like.dtype, device=like.device) + 1) / count - 1

# SPDX-License-Identifier: Apache-2.0
"""Smooths images before they are encoded.

A video's pixels are a grey level or two beside the camera's. The first layers of a CNN that learned from
photographs answer to such texture on evenly coloured surfaces, so that what a policy learns from videos is
not what it sees live (docs/policy.md has figures). Averaging over neighbours takes it away.

Shapes: M images, h x w pixels, K taps.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

_REACH = 3.0  # standard deviations on either side


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Images (M, 3, h, w) averaged with a Gaussian; at the margins the outermost pixels are repeated.

    Args:
        images: any affine scale: the weights sum to one.
        sigma: standard deviation [pixel], above 0.
    """
    radius = math.ceil(_REACH * sigma)
    distances = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)  # (K,)
    weights = (-0.5 * (distances / sigma) ** 2).exp()
    kernel = (weights / weights.sum()).expand(3, 1, 1, -1)  # (3, 1, 1, K), a filter for each colour
    padded = functional.pad(images, (radius,) * 4, mode="replicate")
    rows = functional.conv2d(padded, kernel, groups=3)
    return functional.conv2d(rows, kernel.transpose(2, 3), groups=3)

# SPDX-License-Identifier: Apache-2.0
"""Resizes images as when a dataset is read for training: bytes to bytes, by the same filter."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def resize_bytes(frame: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """uint8 (H, W, 3) -> uint8 (1, 3, h, w), equal to the last bit to what training read of the same image.

    On the CPU, where training resizes as well; each pixel is a rounded average.
    """
    pixels = torch.from_numpy(np.array(frame, order="C"))[None].permute(0, 3, 1, 2)  # (1, 3, H, W)
    if tuple(pixels.shape[-2:]) == tuple(size):
        return pixels
    return functional.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)

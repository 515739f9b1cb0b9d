# SPDX-License-Identifier: Apache-2.0
"""Random changes of what a lamp or a camera changes; places stay as they are, for actions depend on them."""

import torch
from torch import Tensor
from torchvision.transforms import v2


class Augmentation:
    """Brightness, contrast, saturation and hue, drawn for each example and camera, alike over its history."""

    def __init__(self, strength: float) -> None:
        """``strength`` 0 changes nothing; 1 is as strong as a real scene needs."""
        self._jitter = v2.ColorJitter(
            brightness=min(0.4 * strength, 1.0),
            contrast=min(0.4 * strength, 1.0),
            saturation=min(0.5 * strength, 1.0),
            hue=min(0.05 * strength, 0.5),
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Images in 0 to 1 (B, S, N, 3, h, w), of the same shape; draws from torch's global generator."""
        return torch.stack(
            [
                torch.stack([self._jitter(example[:, n]) for n in range(example.shape[1])], dim=1)
                for example in images
            ]
        )

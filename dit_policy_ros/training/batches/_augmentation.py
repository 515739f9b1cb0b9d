# SPDX-License-Identifier: Apache-2.0
"""Random colour changes of training images.

Only colours change, as lamps and cameras change them. Positions stay, because actions depend on them.
"""

import torch
from torch import Tensor
from torchvision.transforms import v2


class Augmentation:
    """Random brightness, contrast, saturation and hue, drawn once per example and camera."""

    def __init__(self, strength: float) -> None:
        """``strength`` 0 changes nothing; 1 is strong."""
        self._jitter = v2.ColorJitter(
            brightness=min(0.4 * strength, 1.0),
            contrast=min(0.4 * strength, 1.0),
            saturation=min(0.5 * strength, 1.0),
            hue=min(0.05 * strength, 0.5),
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Change images (B, S, N, 3, h, w) with values in 0 to 1; the S steps of an example change alike.

        Random numbers come from torch's global generator.
        """
        return torch.stack(
            [
                torch.stack([self._jitter(example[:, n]) for n in range(example.shape[1])], dim=1)
                for example in images
            ]
        )

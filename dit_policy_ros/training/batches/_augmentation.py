# SPDX-License-Identifier: Apache-2.0
"""Random colour changes of training images.

Only colours change, as lamps and cameras change them. Positions stay, because actions depend on them.

Shapes: B examples, S steps of an example, N cameras, h and w pixels.
"""

from collections.abc import Callable

import torch
from torch import Tensor

_GRAY = (0.2989, 0.587, 0.114)  # share of red, green and blue in brightness (ITU-R BT.601)


class Augmentation:
    """Random brightness, contrast, saturation and hue, drawn once per example and camera.

    The operations are torchvision's (``ColorJitter``) with a factor for each example and camera, so their
    number does not grow with the batch: a loop over 64 examples of 3 cameras would start 51,000 small
    operations, and a GPU would wait for each to be started. Their order is drawn once per batch.
    """

    def __init__(self, strength: float) -> None:
        """``strength`` 0 changes nothing; 1 is strong."""
        self._reaches: dict[Callable[[Tensor, Tensor], Tensor], float] = {
            adjust_brightness: min(0.4 * strength, 1.0),
            adjust_contrast: min(0.4 * strength, 1.0),
            adjust_saturation: min(0.5 * strength, 1.0),
            adjust_hue: min(0.05 * strength, 0.5),
        }

    def __call__(self, images: Tensor) -> Tensor:
        """Change images (B, S, N, 3, h, w) with values in 0 to 1; the S steps of an example change alike.

        Random numbers come from torch's global generators.
        """
        examples, _, cameras = images.shape[:3]
        changes = list(self._reaches.items())
        random = torch.rand(len(changes), examples, 1, cameras, 1, 1, 1, device=images.device) * 2 - 1
        for number in torch.randperm(len(changes)).tolist():
            adjust, reach = changes[number]
            middle = 0.0 if adjust is adjust_hue else 1.0
            images = adjust(images, middle + reach * random[number])
        return images


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply images (..., 3, h, w) by a factor (..., 1, 1, 1)."""
    return (images * factor).clamp(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend images (..., 3, h, w) with their mean grey; at a factor of 0 only that is left."""
    mean = _gray(images).mean(dim=(-3, -2, -1), keepdim=True)
    return (mean + (images - mean) * factor).clamp(0, 1)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend images (..., 3, h, w) with their grey form; at a factor of 0 only that is left."""
    gray = _gray(images)
    return (gray + (images - gray) * factor).clamp(0, 1)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of images (..., 3, h, w) by a shift (..., 1, 1, 1) [turns], by way of HSV."""
    value, low = images.amax(dim=-3, keepdim=True), images.amin(dim=-3, keepdim=True)
    chroma = value - low
    scale = torch.where(chroma > 0, chroma, 1.0)
    red, green, blue = images.split(1, dim=-3)
    hue = torch.where(
        value == red,
        (green - blue) / scale,
        torch.where(value == green, 2 + (blue - red) / scale, 4 + (red - green) / scale),
    )  # [sixths of a turn]
    hue = hue + 6 * shift
    # A channel falls from the value by the chroma as the hue goes away from the channel's own.
    offsets = images.new_tensor((5.0, 3.0, 1.0)).reshape(3, 1, 1)
    distance = torch.remainder(hue + offsets, 6)
    fall = torch.minimum(distance, 4 - distance).clamp(0, 1)
    return value - chroma * fall


def _gray(images: Tensor) -> Tensor:
    """Brightness (..., 1, h, w) of images (..., 3, h, w)."""
    red, green, blue = images.split(1, dim=-3)
    return _GRAY[0] * red + _GRAY[1] * green + _GRAY[2] * blue

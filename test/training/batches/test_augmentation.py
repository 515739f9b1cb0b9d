# SPDX-License-Identifier: Apache-2.0
"""Colour changes of a whole batch equal torchvision's of each image, in few operations."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms.v2 import functional

from dit_policy_ros.training.batches import _augmentation as module
from dit_policy_ros.training.batches._augmentation import Augmentation


def images(examples: int = 5, steps: int = 2, cameras: int = 3) -> Tensor:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (examples, steps, cameras, 3, 12, 16)) / 255
    pixels[0, 0, 0] = 0.5  # grey has no hue
    pixels[0, 0, -1] = torch.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    pixels[0, -1, 0] = 0.0
    return pixels


@pytest.mark.parametrize(
    ("ours", "theirs", "low", "high"),
    [
        (module.adjust_brightness, functional.adjust_brightness, 0.0, 2.0),
        (module.adjust_contrast, functional.adjust_contrast, 0.0, 2.0),
        (module.adjust_saturation, functional.adjust_saturation, 0.0, 2.0),
        (module.adjust_hue, functional.adjust_hue, -0.5, 0.5),
    ],
    ids=["brightness", "contrast", "saturation", "hue"],
)
def test_each_change_is_torchvisions(
    ours: Callable[[Tensor, Tensor], Tensor],
    theirs: Callable[[Tensor, float], Tensor],
    low: float,
    high: float,
) -> None:
    pixels = images()
    factors = torch.rand(5, 1, 3, 1, 1, 1) * (high - low) + low
    changed = ours(pixels, factors)
    for example in range(5):
        for camera in range(3):
            expected = theirs(pixels[example, :, camera], float(factors[example, 0, camera]))
            torch.testing.assert_close(changed[example, :, camera], expected, rtol=0, atol=2e-5)


def test_steps_change_alike_and_examples_and_cameras_differ() -> None:
    pixels = images()[1:2, :1, :1].expand(4, 2, 3, 3, 12, 16)
    changed = Augmentation(1.0)(pixels)
    assert torch.equal(changed[:, 0], changed[:, 1])
    others = changed[:, 0].flatten(0, 1)
    assert len({tuple(each.flatten()[:9].tolist()) for each in others}) == 12
    assert changed.min() >= 0 and changed.max() <= 1


def test_the_same_seed_gives_the_same_and_strength_zero_nothing() -> None:
    pixels, augment = images(), Augmentation(0.7)
    torch.manual_seed(3)
    first = augment(pixels)
    torch.manual_seed(3)
    assert torch.equal(first, augment(pixels))
    torch.testing.assert_close(Augmentation(0.0)(pixels), pixels)


class Operations(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_the_number_of_operations_does_not_grow_with_the_batch() -> None:
    counts = []
    for size in (1, 64):
        pixels = images(size, 1, 3)
        with Operations() as operations:
            Augmentation(1.0)(pixels)
        counts.append(operations.count)
    assert counts[0] == counts[1] < 100, "a loop over 64 examples of 3 cameras has 51,000"

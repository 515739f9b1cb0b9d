# SPDX-License-Identifier: Apache-2.0
"""Images are smoothed before they are encoded: `image_blur`."""

import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from tiny_encoders import SIDE, encoder_config, encoder_policy

from dit_policy_ros.policy.encoders._blur import blurred


@pytest.mark.parametrize("sigma", [0.4, 1.5, 8.0])
@pytest.mark.parametrize("size", [(24, 32), (5, 7)])
def test_it_is_a_gaussian_along_rows_and_columns(size: tuple[int, int], sigma: float) -> None:
    images = torch.rand(2, 3, *size, dtype=torch.float64)
    expected = images.numpy()
    for axis in (2, 3):
        expected = gaussian_filter1d(expected, sigma, axis, mode="nearest", truncate=3.0 + 0.5 / sigma)
        # scipy rounds the reach down, and we round it up
    assert blurred(images, sigma).numpy() == pytest.approx(expected, abs=2e-3)
    assert blurred(torch.full_like(images, 0.3), sigma).numpy() == pytest.approx(0.3)


def test_the_encoder_smooths_what_it_has_resized_once() -> None:
    plain, smooth = (
        encoder_policy(encoder_config(image_resize_shape=(SIDE, SIDE), image_blur=blur)).observation_encoder
        for blur in (0.0, 1.0)
    )
    images = torch.rand(2, 3, 2 * SIDE, 2 * SIDE)
    assert torch.equal(smooth.resize_and_crop(images), blurred(plain.resize_and_crop(images), 1.0))

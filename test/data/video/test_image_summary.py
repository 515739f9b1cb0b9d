# SPDX-License-Identifier: Apache-2.0
"""The histogram gives LeRobot's statistics exactly, and finds frozen and clipped images."""

import json

import numpy as np
import pytest

from dit_policy_ros.data.video import ImageSummary


def test_the_statistics_are_those_of_all_pixels() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(20, 200, (7, 40, 60, 3), dtype=np.uint8)
    images[..., 1] //= 2
    summary = ImageSummary()
    for image in images:
        summary.add(image, fresh=True)
    pixels = images.reshape(-1, 3) / 255.0
    stats = ImageSummary.from_json(json.loads(json.dumps(summary.to_json()))).statistics()
    expected = {"min": pixels.min(0), "max": pixels.max(0), "mean": pixels.mean(0), "std": pixels.std(0)}
    for name, value in expected.items():
        np.testing.assert_allclose(stats[name].ravel(), value, atol=1e-12)
    for name, quantile in (("q01", 0.01), ("q10", 0.1), ("q50", 0.5), ("q90", 0.9), ("q99", 0.99)):
        exact = np.quantile(pixels, quantile, axis=0, method="inverted_cdf")
        np.testing.assert_allclose(stats[name].ravel(), exact, atol=1e-12)
    assert stats["mean"].shape == (3, 1, 1)
    assert stats["count"].tolist() == [7], "LeRobot counts images, by which it weighs datasets that it merges"


def test_the_statistics_have_the_names_and_the_subsampling_of_lerobot() -> None:
    pytest.importorskip("lerobot", reason="lerobot is not installed")
    from lerobot.datasets.compute_stats import RunningQuantileStats, auto_downsample_height_width

    image = np.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    summary = ImageSummary()
    summary.add(image, fresh=True)
    theirs = RunningQuantileStats()
    subsampled = auto_downsample_height_width(image.transpose(2, 0, 1))
    theirs.update(subsampled.transpose(1, 2, 0).reshape(-1, 3))
    expected = theirs.get_statistics()
    stats = summary.statistics()
    assert stats.keys() == expected.keys()
    assert stats["count"].tolist() == [1]
    for name in ("min", "max", "mean", "std"):
        # LeRobot sums in float32.
        np.testing.assert_allclose(stats[name].ravel() * 255, expected[name], rtol=1e-4, atol=1e-4)


def test_frozen_images_are_new_images_that_equal_the_previous_one() -> None:
    summary, image = ImageSummary(), np.full((20, 30, 3), 90, np.uint8)
    for fresh in (True, True, False, True):
        summary.add(image, fresh)
    summary.add(image + 1, True)
    assert (summary.frames, summary.frozen) == (5, 2)


@pytest.mark.parametrize(
    ("level", "clipped"), [(0, 1), (5, 1), (6, 0), (128, 0), (249, 0), (250, 1), (255, 1)]
)
def test_images_that_are_black_or_white_are_clipped(level: int, clipped: int) -> None:
    summary = ImageSummary()
    summary.add(np.full((20, 30, 3), level, np.uint8), True)
    assert summary.clipped == clipped


def test_a_black_image_with_a_bright_spot_is_not_clipped() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    image[:5, :5] = 200
    summary = ImageSummary()
    summary.add(image, True)
    assert summary.clipped == 0

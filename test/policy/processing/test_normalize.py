# SPDX-License-Identifier: Apache-2.0
"""Normalisation is invertible, maps statistics to the right values, and refuses missing ones."""

import pytest
import torch
from tiny_policy import random_stats, tiny_config

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy.config import Feature, FeatureType, NormalizationMode
from dit_policy_ros.policy.processing import Normalizer, make_normalizer
from dit_policy_ros.policy.processing._normalize import LOW_HIGH

STATE = Feature(FeatureType.STATE, (5,))
STATS = random_stats(tiny_config())["observation.state"]


def make(mode: NormalizationMode, stats=STATS, feature: Feature = STATE) -> Normalizer:
    return make_normalizer("observation.state", feature, mode, stats, 1e-8, "pre.json")


@pytest.mark.parametrize("mode", list(NormalizationMode))
def test_unnormalize_inverts_normalize(mode: NormalizationMode) -> None:
    x = torch.randn(7, 2, 5)
    scale = make(mode)
    torch.testing.assert_close(scale.unnormalize(scale.normalize(x)), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", list(LOW_HIGH))
def test_low_and_high_become_minus_one_and_one(mode: NormalizationMode) -> None:
    low, high = (STATS[name] for name in LOW_HIGH[mode])
    torch.testing.assert_close(make(mode).normalize(low), torch.full((5,), -1.0))
    torch.testing.assert_close(make(mode).normalize(high), torch.full((5,), 1.0))


def test_a_constant_entry_stays_finite_and_is_restored() -> None:
    stats = {"min": torch.full((5,), 0.25), "max": torch.full((5,), 0.25)}
    scale = make(NormalizationMode.MIN_MAX, stats)
    assert torch.equal(scale.normalize(torch.full((5,), 0.25)), torch.full((5,), -1.0))
    torch.testing.assert_close(scale.unnormalize(torch.zeros(5)), torch.full((5,), 0.25))


def test_image_statistics_apply_per_channel() -> None:
    feature = Feature(FeatureType.VISUAL, (3, 4, 6))
    stats = {"mean": torch.tensor([0.1, 0.2, 0.3]), "std": torch.tensor([1.0, 2.0, 4.0])}
    scaled = make(NormalizationMode.MEAN_STD, stats, feature).normalize(torch.full((2, 3, 4, 6), 0.5))
    assert scaled.shape == (2, 3, 4, 6)
    torch.testing.assert_close(scaled[0, :, 1, 2], torch.tensor([0.4, 0.15, 0.05]))


@pytest.mark.parametrize(
    ("mode", "stats", "expected"),
    [
        (
            NormalizationMode.MIN_MAX,
            {"min": torch.zeros(5)},
            "needs min and max; missing: observation.state.max",
        ),
        (
            NormalizationMode.QUANTILES,
            {},
            "missing: observation.state.q01, observation.state.q99; present: nothing",
        ),
        (
            NormalizationMode.MEAN_STD,
            {"mean": torch.zeros(4), "std": torch.ones(5)},
            r"expected shape \(5,\), got \(4,\)",
        ),
        (
            NormalizationMode.MEAN_STD,
            {"mean": torch.zeros(5), "std": torch.full((5,), torch.nan)},
            "finite numbers",
        ),
    ],
)
def test_a_missing_or_invalid_statistic_is_refused(mode: NormalizationMode, stats, expected: str) -> None:
    with pytest.raises(CheckpointError, match=expected):
        make(mode, stats)

# SPDX-License-Identifier: Apache-2.0
"""Every normalisation mode, and its inverse, equals LeRobot's processor steps."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_policy import random_stats, tiny_config
from torch import Tensor

from dit_policy_ros.policy.config import Feature, FeatureType, NormalizationMode
from dit_policy_ros.policy.processing import make_normalizer

EPS = 1e-8
IMAGE = Feature(FeatureType.VISUAL, (3, 30, 40))
STATE = Feature(FeatureType.STATE, (5,))
ACTION = Feature(FeatureType.ACTION, (4,))
FEATURES = {"observation.images.cam0": IMAGE, "observation.state": STATE, "action": ACTION}


def step(lerobot: SimpleNamespace, cls: Any, mode: NormalizationMode, stats: Any, eps: float) -> Any:
    features = {
        key: lerobot.Feature(type=lerobot.FeatureType(f.type.value), shape=f.shape)
        for key, f in FEATURES.items()
    }
    modes = {lerobot.FeatureType(f.type.value): lerobot.Mode(mode.value) for f in FEATURES.values()}
    return cls(features=features, norm_map=modes, stats=stats, eps=eps)


def through(lerobot: SimpleNamespace, step: Any, values: dict[str, Tensor]) -> dict[str, Tensor]:
    observation = {key: value for key, value in values.items() if key != "action"}
    result = step(lerobot.transition(observation=observation, action=values["action"]))
    return {**result["observation"], "action": result["action"]}


@pytest.mark.parametrize("eps", [EPS, 1e-3])
@pytest.mark.parametrize("constant", [False, True], ids=["moving", "one entry constant"])
@pytest.mark.parametrize("mode", list(NormalizationMode))
def test_normalisation_and_its_inverse_equal_lerobots(
    lerobot: SimpleNamespace, mode: NormalizationMode, constant: bool, eps: float, record_property: Any
) -> None:
    stats = random_stats(tiny_config(), seed=1)
    if constant:
        for group in stats.values():
            for name, value in group.items():
                value[0] = 0.0 if name == "std" else 0.25
    torch.manual_seed(2)
    values = {key: torch.randn(2, 3, *feature.shape) for key, feature in FEATURES.items()}
    expected = through(lerobot, step(lerobot, lerobot.Normalizer, mode, stats, eps), values)
    inverse = through(lerobot, step(lerobot, lerobot.Unnormalizer, mode, stats, eps), values)
    worst = 0.0
    for key, feature in FEATURES.items():
        scale = make_normalizer(key, feature, mode, stats[key], eps, "test")
        for ours, theirs in (
            (scale.normalize(values[key]), expected[key]),
            (scale.unnormalize(values[key]), inverse[key]),
        ):
            # A constant entry is divided by eps, which gives huge values: compare relative to the largest.
            worst = max(worst, float((ours - theirs).abs().max() / theirs.abs().max()))
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
        if mode is not NormalizationMode.IDENTITY:
            assert not torch.equal(expected[key], values[key]), f"{key} must be scaled"
    record_property("parity: scaling, relative", worst)

# SPDX-License-Identifier: Apache-2.0
"""6-D rotations are not scaled by what the data happen to have."""

import numpy as np
import torch

from dit_policy_ros.core.poses import rotation_columns
from dit_policy_ros.policy.config import Feature, FeatureType, NormalizationMode
from dit_policy_ros.policy.processing import make_normalizer
from dit_policy_ros.training.batches._rotation_statistics import with_even_rotations

ROTATION = [f"ee.{entry}" for entry in ("r11", "r21", "r31", "r12", "r22", "r32")]
NAMES = ["ee.x", "ee.y", "ee.z", *ROTATION, "gripper"]


def stats() -> dict[str, torch.Tensor]:
    """Of data in which the end effector hardly turns."""
    values = np.random.default_rng(0).normal(
        [0, 0, 0, 1, 0, 0, 0, 1, 0, 0], [0.1] * 3 + [1e-4] * 6 + [0.01], (500, 10)
    )
    found = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    found |= {f"q{p:02d}": np.percentile(values, p, axis=0) for p in (1, 10, 90, 99)}
    return {name: torch.as_tensor(each, dtype=torch.float32) for name, each in found.items()}


def test_all_entries_of_a_rotation_have_one_scale_in_every_mode() -> None:
    even = with_even_rotations(stats(), NAMES)
    feature, steps = Feature(FeatureType.STATE, (10,)), torch.zeros(2, 10)
    steps[1, 3:9] = 0.01
    for mode in NormalizationMode:
        scale = make_normalizer("observation.state", feature, mode, even, 1e-8, "test")
        change = torch.diff(scale.normalize(steps), dim=0)[0, 3:9]  # (6,)
        torch.testing.assert_close(change, change[:1].expand(6), atol=1e-4, rtol=1e-4)
        assert change.max() <= 0.3, "noise of a constant rotation stays small"
        torch.testing.assert_close(scale.unnormalize(scale.normalize(steps)), steps, atol=1e-5, rtol=1e-5)


def test_the_entry_that_changes_most_gives_the_scale() -> None:
    before = stats()
    before["min"][4], before["max"][4] = -0.9, 0.5
    even = with_even_rotations(before, NAMES)
    torch.testing.assert_close(even["max"][3:9] - even["min"][3:9], torch.full((6,), 1.4))
    middle = (before["max"] + before["min"])[3:9] / 2
    torch.testing.assert_close((even["max"] + even["min"])[3:9] / 2, middle)


def test_other_entries_keep_the_statistics_of_the_data() -> None:
    before, even = stats(), with_even_rotations(stats(), NAMES)
    others = [0, 1, 2, 9]
    for name, values in before.items():
        torch.testing.assert_close(even[name][others], values[others])
    unnamed = with_even_rotations(before, None)
    torch.testing.assert_close(unnamed["std"], before["std"])


def test_only_whole_rotations_count() -> None:
    assert rotation_columns(NAMES) == [3, 4, 5, 6, 7, 8]
    assert rotation_columns(NAMES[:-2]) == [], "an entry is missing"
    assert rotation_columns(["r11", "r21", "r31", "r12", "r22", "r32"]) == [], "of no arm"
    two = [*NAMES, *(name.replace("ee", "other") for name in reversed(ROTATION))]
    assert rotation_columns(two) == [*range(3, 9), *range(15, 9, -1)]

# SPDX-License-Identifier: Apache-2.0
"""The parts of a state keep their own statistics: one part's unit changes nothing for another."""

import numpy as np
import torch

from dit_policy_ros.policy.config import NormalizationMode
from dit_policy_ros.policy.processing import Normalizer, StateRange, join_normalizers, join_ranges


def normalizer(low: list[float], high: list[float], mode=NormalizationMode.MIN_MAX) -> Normalizer:
    return Normalizer(mode, torch.tensor(low), torch.tensor(high), 1e-8)


def state_range(low: list[float], high: list[float]) -> StateRange:
    return StateRange(np.array(low, np.float32), np.array(high, np.float32))


def test_one_part_is_taken_as_it_is() -> None:
    only = normalizer([0.0], [1.0])
    assert join_normalizers([only], [1]) is only
    limits = state_range([0.0], [1.0])
    assert join_ranges([limits]) is limits


def test_each_part_is_normalised_by_its_own_statistics_and_mode() -> None:
    joints = normalizer([0.0, -1.0], [1.0, 1.0])
    force = normalizer([100.0], [10.0], NormalizationMode.MEAN_STD)
    joined = join_normalizers([joints, force], [2, 1])
    x = torch.tensor([[0.5, 0.0, 120.0], [1.0, 1.0, 90.0]])
    expected = torch.cat([joints.normalize(x[:, :2]), force.normalize(x[:, 2:])], dim=-1)
    assert torch.equal(joined.normalize(x), expected)
    assert torch.equal(joined.to(torch.device("cpu")).normalize(x), expected)


def test_a_part_is_limited_and_reported_by_its_own_typical_range() -> None:
    """Forces of hundreds do not make a joint's 3 rad look like noise, nor rest where it moved."""
    joints, force = state_range([0.0, 0.0], [1.0, 1.0]), state_range([-200.0, 0.0], [200.0, 100.0])
    joined = join_ranges([joints, force])
    assert not joined.resting.any()
    state = np.array([0.5, 5.0, 0.0, 2000.0], np.float32)
    np.testing.assert_allclose(joined.limit(state[None])[0], [0.5, 2.0, 0.0, 200.0])
    unseen = joined.unseen(state)
    assert [entry.entry for entry in unseen] == [1, 3]
    assert all(entry.is_far for entry in unseen)
    np.testing.assert_allclose(joined.centre, [0.5, 0.5, 0.0, 50.0])

# SPDX-License-Identifier: Apache-2.0
"""Batches draw every frame once an epoch and tasks by their weights; sampling resumes and is sharded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_policy_ros.training.batches import FrameSampler, Shard, intervention_groups
from dit_policy_ros.training.errors import TrainingError


def draw(sampler: FrameSampler, batches: int) -> np.ndarray:
    return np.concatenate([next(sampler) for _ in range(batches)])


def test_every_frame_is_drawn_once_an_epoch_in_a_new_order() -> None:
    seen = draw(FrameSampler(np.arange(100, 110), 4, seed=0), 5)  # batches straddle the epochs
    assert np.bincount(seen - 100).tolist() == [2] * 10
    first, second = (draw(FrameSampler(np.arange(10), 10, seed), 1).tolist() for seed in (0, 1))
    assert first != second and first != list(range(10))


@settings(deadline=None, max_examples=50)
@given(
    weights=st.lists(st.floats(0.1, 10.0), min_size=1, max_size=4),
    counts=st.lists(st.integers(1, 30), min_size=4, max_size=4),
    batch=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
def test_a_batch_holds_every_tasks_share(weights, counts, batch, seed) -> None:
    groups = np.repeat(np.arange(len(weights)), counts[: len(weights)])
    sampler = FrameSampler(np.arange(len(groups)), batch, seed, groups, dict(enumerate(weights)))
    for _ in range(3):
        drawn = np.bincount(groups[next(sampler)], minlength=len(weights))
        expected = batch * np.array(weights) / sum(weights)
        assert (np.abs(drawn - expected) < 1 + 1e-9).all(), "rounded up or down, never further off"


def test_over_many_batches_the_shares_are_exact() -> None:
    groups = np.repeat([0, 1, 2], [50, 5, 20])
    sampler = FrameSampler(np.arange(75), 7, 3, groups, {0: 1.0, 1: 4.0})
    drawn = np.bincount(groups[draw(sampler, 600)]) / 4200
    np.testing.assert_allclose(drawn, np.array([1, 4, 1]) / 6, atol=0.01)


def test_a_task_of_weight_zero_is_never_drawn_and_all_zero_is_refused() -> None:
    groups = np.repeat([0, 1], 10)
    assert (draw(FrameSampler(np.arange(20), 8, 0, groups, {0: 0.0}), 20) >= 10).all()
    with pytest.raises(TrainingError, match="at least one task with a weight above 0"):
        FrameSampler(np.arange(20), 8, 0, groups, {0: 0.0, 1: 0.0})
    with pytest.raises(TrainingError, match="no frame is left"):
        FrameSampler(np.empty(0, np.int64), 8, 0)


def test_skipping_continues_where_another_sampler_stopped() -> None:
    groups = np.repeat([0, 1], [13, 4])
    whole, resumed = (FrameSampler(np.arange(17), 5, 1, groups) for _ in range(2))
    draw(whole, 9)
    resumed.skip(9)
    assert draw(whole, 4).tolist() == draw(resumed, 4).tolist()


def test_processes_split_a_batch() -> None:
    parts = [FrameSampler(np.arange(24), 3, 2, shard=Shard(rank, 4)) for rank in range(4)]
    epoch = np.concatenate([draw(part, 2) for part in parts])
    assert sorted(epoch) == list(range(24)), "together they see each frame once"


@pytest.mark.parametrize("balanced", [True, False])
def test_corrections_are_drawn_so_many_times_as_often_and_tasks_keep_their_shares(balanced) -> None:
    tasks = np.repeat([0, 1, 2], (60, 40, 20))
    corrected = np.zeros(120, bool)
    corrected[:6] = corrected[60:80] = True  # a tenth of the first task, half of the second
    groups, weights = intervention_groups(tasks if balanced else None, corrected, 4.0, {2: 0.5})
    counts = np.bincount(draw(FrameSampler(np.arange(120), 100, 0, groups, weights), 4000), minlength=120)
    for task in (0, 1) if balanced else (slice(None),):
        of_task = tasks == task if balanced else np.ones(120, bool)
        ratio = counts[of_task & corrected].mean() / counts[of_task & ~corrected].mean()
        assert abs(ratio - 4.0) < 0.1
    if balanced:
        shares = np.array([counts[tasks == task].sum() for task in range(3)]) / counts.sum()
        assert np.abs(shares - np.array([0.4, 0.4, 0.2])).max() < 0.01


def test_without_corrections_the_shares_stay() -> None:
    tasks = np.repeat([0, 1], (30, 10))
    groups, weights = intervention_groups(tasks, np.zeros(40, bool), 4.0, {})
    drawn = draw(FrameSampler(np.arange(40), 20, 0, groups, weights), 50)
    assert np.bincount(tasks[drawn]).tolist() == [500, 500]

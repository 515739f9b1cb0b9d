# SPDX-License-Identifier: Apache-2.0
"""Which frames a batch is made of: every one once an epoch, tasks by their weights, resumable, shared out."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_demonstrations import tiny_demonstrations

from dit_policy_ros.training.batches import FrameSampler, held_out, trainable, unflagged
from dit_policy_ros.training.errors import TrainingError


def draw(sampler: FrameSampler, batches: int) -> np.ndarray:
    return np.concatenate([next(sampler) for _ in range(batches)])


def test_every_frame_comes_once_an_epoch_in_another_order() -> None:
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
def test_a_batch_holds_of_every_task_its_share(weights, counts, batch, seed) -> None:
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


def test_skipping_goes_on_where_another_is() -> None:
    groups = np.repeat([0, 1], [13, 4])
    whole, resumed = (FrameSampler(np.arange(17), 5, 1, groups) for _ in range(2))
    draw(whole, 9)
    resumed.skip(9)
    assert draw(whole, 4).tolist() == draw(resumed, 4).tolist()


def test_processes_share_a_batch_out() -> None:
    parts = [FrameSampler(np.arange(24), 3, 2, rank=rank, processes=4) for rank in range(4)]
    epoch = np.concatenate([draw(part, 2) for part in parts])
    assert sorted(epoch) == list(range(24)), "together they see each frame once"


def test_episodes_are_held_out_whole_and_of_every_task() -> None:
    data = tiny_demonstrations(episodes=10, length=6)  # two tasks, alternating
    mask = held_out(data, 0.4, seed=0)
    for episode in range(10):
        assert len(set(mask[data.episode_index == episode])) == 1
    for task in range(2):
        assert mask[data.task_index == task].mean() == pytest.approx(0.4)
    assert mask.tolist() == held_out(data, 0.4, seed=0).tolist() != held_out(data, 0.4, seed=1).tolist()
    assert not held_out(data, 0.0, seed=0).any()


def test_a_tasks_only_episode_is_trained_on() -> None:
    data = tiny_demonstrations(episodes=3, length=6)  # the second task has one episode
    mask = held_out(data, 0.5, seed=0)
    assert not mask[data.task_index == 1].any() and mask[data.task_index == 0].mean() == 0.5


def test_the_last_frames_begin_no_example() -> None:
    data = tiny_demonstrations(episodes=2, length=5)
    assert trainable(data, 2).tolist() == [True, True, True, False, False] * 2
    assert trainable(data, 0).all()


def test_a_flagged_frame_is_in_no_history() -> None:
    data = tiny_demonstrations(episodes=2, length=5)
    flagged = np.zeros(10, bool)
    flagged[[2, 4]] = True  # frame 4 is the last of its episode, frame 5 begins the next
    marked = dataclasses.replace(data, flagged=flagged)
    both = [True, True, False, False, False, *[True] * 5]
    assert unflagged(marked, 2, 2).tolist() == unflagged(marked, 2, 1).tolist() == both
    assert unflagged(marked, 1, 1).tolist() == (~flagged).tolist()
    assert unflagged(data, 3, 3).all()


def test_an_old_picture_counts_where_pictures_are_read() -> None:
    data = tiny_demonstrations(episodes=2, length=5)
    flagged = np.zeros(10, bool)
    flagged[[1, 2, 4, 7]] = True
    marked = dataclasses.replace(data, flagged_images=flagged)
    assert unflagged(marked, 2, 1).tolist() == (~flagged).tolist()
    assert np.flatnonzero(unflagged(marked, 2, 2)).tolist() == [0, 5, 6, 9]

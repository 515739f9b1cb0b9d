# SPDX-License-Identifier: Apache-2.0
"""Which frames are trained on, and which are held out."""

import dataclasses

import numpy as np
import pytest
from tiny_demonstrations import tiny_demonstrations

from dit_policy_ros.training.batches import held_out_mask, start_mask, task_mask, unflagged_mask
from dit_policy_ros.training.errors import TrainingError


def test_whole_episodes_of_every_task_are_held_out() -> None:
    data = tiny_demonstrations(episodes=10, length=6)  # two tasks, alternating
    mask = held_out_mask(data, 0.4, seed=0)
    for episode in range(10):
        assert len(set(mask[data.episode_index == episode])) == 1
    for task in range(2):
        assert mask[data.task_index == task].mean() == pytest.approx(0.4)
    assert (
        mask.tolist()
        == held_out_mask(data, 0.4, seed=0).tolist()
        != held_out_mask(data, 0.4, seed=1).tolist()
    )
    assert not held_out_mask(data, 0.0, seed=0).any()


def test_a_tasks_only_episode_is_trained_on() -> None:
    data = tiny_demonstrations(episodes=3, length=6)  # the second task has one episode
    mask = held_out_mask(data, 0.5, seed=0)
    assert not mask[data.task_index == 1].any() and mask[data.task_index == 0].mean() == 0.5


def test_the_last_frames_start_no_example() -> None:
    data = tiny_demonstrations(episodes=2, length=5)
    assert start_mask(data, 2).tolist() == [True, True, True, False, False] * 2
    assert start_mask(data, 0).all()


def test_no_history_has_a_flagged_frame() -> None:
    data = tiny_demonstrations(episodes=2, length=5)
    flagged = np.zeros(10, bool)
    flagged[[2, 4]] = True  # frame 4 is the last of its episode, frame 5 begins the next
    marked = dataclasses.replace(data, flagged=flagged)
    both = [True, True, False, False, False, *[True] * 5]
    assert unflagged_mask(marked, 2, 2).tolist() == unflagged_mask(marked, 2, 1).tolist() == both
    assert unflagged_mask(marked, 1, 1).tolist() == (~flagged).tolist()
    assert unflagged_mask(data, 3, 3).all()


def test_a_repeated_image_counts_only_in_the_history_of_images() -> None:
    data = tiny_demonstrations(episodes=2, length=5)
    flagged = np.zeros(10, bool)
    flagged[[1, 2, 4, 7]] = True
    marked = dataclasses.replace(data, flagged_images=flagged)
    assert unflagged_mask(marked, 2, 1).tolist() == (~flagged).tolist()
    assert np.flatnonzero(unflagged_mask(marked, 2, 2)).tolist() == [0, 5, 6, 9]


def test_only_frames_of_the_chosen_tasks() -> None:
    data = tiny_demonstrations(episodes=4, length=3)
    assert task_mask(data, (data.tasks[1],)).tolist() == (data.task_index == 1).tolist()
    assert task_mask(data, ()).all()
    with pytest.raises(TrainingError, match=rf"no demonstration of 'fly'; .*tasks:\n  {data.tasks[0]}"):
        task_mask(data, ("fly",))

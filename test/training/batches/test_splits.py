# SPDX-License-Identifier: Apache-2.0
"""Which frames are trained on, and which are held out."""

import dataclasses

import numpy as np
import pytest
from tiny_demonstrations import tiny_demonstrations

from dit_policy_ros.training.batches import (
    held_out_mask,
    split_frames,
    start_mask,
    task_mask,
    unflagged_mask,
)
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
    assert start_mask(data, 0, 3).tolist() == [True, False, False, True, False] * 2
    assert start_mask(data, 2, 2).tolist() == [True, False, True, False, False] * 2


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


def test_an_episode_that_is_excluded_is_not_held_out_either() -> None:
    data = tiny_demonstrations(episodes=8, length=5)
    excluded = np.isin(data.episode_index, [0, 2, 4])  # of the first task only episode 6 is left
    for seed in range(5):
        held_out = held_out_mask(data, 0.5, seed, excluded)
        assert not (held_out & excluded).any()
        assert len(np.unique(data.episode_index[held_out])) == 2, "half of the second task's four episodes"


def test_the_only_good_episode_of_a_task_is_trained_on_not_held_out() -> None:
    data = tiny_demonstrations(episodes=6, length=5)
    bad = np.isin(data.episode_index, [0, 2, 3])  # their check failed: of the first task episode 4 is left
    marked = dataclasses.replace(data, flagged=bad)
    for seed in range(6):
        split = split_frames(marked, 0.5, seed, steps=2, image_steps=1)
        assert not (split.held_out & bad).any() and not (split.usable & split.held_out).any()
        assert set(data.episode_index[split.usable]) >= {4}
        assert len(set(data.episode_index[split.held_out])) == 1, "one of the second task's two good ones"
        everything = split_frames(marked, 0.5, seed, steps=2, image_steps=1, use_flagged=True)
        assert everything.good.all() and (everything.held_out & bad).any() == any(
            each in (0, 2, 3) for each in data.episode_index[everything.held_out]
        )


def test_a_flagged_frame_of_a_held_out_episode_is_neither_scored_nor_trained_on() -> None:
    data = tiny_demonstrations(episodes=4, length=5)
    flagged = np.zeros(20, bool)
    flagged[::5] = True  # the first frame of each episode: the episode itself is good
    split = split_frames(dataclasses.replace(data, flagged=flagged), 0.5, 0, steps=1, image_steps=1)
    assert split.held_out.sum() == 2 * 4 and not split.held_out[flagged].any()
    assert split.usable.sum() == 2 * 4 and not split.usable[flagged].any()


def test_failures_are_used_if_that_is_asked_for() -> None:
    data = tiny_demonstrations(episodes=2, length=5)
    marked = dataclasses.replace(data, failed=data.episode_index == 0)
    assert split_frames(marked, 0.0, 0, steps=1, image_steps=1).usable.tolist() == [False] * 5 + [True] * 5
    assert split_frames(marked, 0.0, 0, steps=1, image_steps=1, use_failures=True).usable.all()


def test_what_a_policy_did_before_a_person_took_over_is_left_out() -> None:
    """Episodes: corrected twice and then driven by the policy, by the policy alone, by a person alone."""
    data = tiny_demonstrations(episodes=3, length=6)
    corrected = np.array([0, 1, 0, 0, 1, 0] + [0] * 6 + [1] * 6, bool)
    led_to_it = np.array([1, 0, 1, 1, 0, 0] + [0] * 12, bool)
    marked = dataclasses.replace(data, corrected=corrected)
    split = split_frames(marked, 0.0, 0, steps=1, image_steps=1)
    assert split.overruled.tolist() == led_to_it.tolist()
    assert split.usable.tolist() == (~led_to_it).tolist()
    for seed in range(5):
        held = split_frames(marked, 0.5, seed, steps=1, image_steps=1)
        assert not (held.held_out & led_to_it).any()
    assert split_frames(marked, 0.0, 0, steps=1, image_steps=1, use_overruled=True).usable.all()
    assert not split_frames(data, 0.0, 0, steps=1, image_steps=1).overruled.any(), "no dataset says who drove"

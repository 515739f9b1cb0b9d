# SPDX-License-Identifier: Apache-2.0
"""A chunk answers one instruction: it ends, masked, where the instruction changes within an episode."""

import dataclasses

import numpy as np
from tiny_demonstrations import tiny_demonstrations

from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.training.batches import start_mask
from dit_policy_ros.training.batches._windows import WindowIndex

LENGTH, CHANGE = 12, 5


def two_instructions() -> Demonstrations:
    """Two episodes of 12 frames; in the first the instruction changes at frame 5."""
    data = tiny_demonstrations(episodes=2, length=LENGTH)
    task = np.zeros(2 * LENGTH, np.int64)
    task[CHANGE:LENGTH] = 1
    return dataclasses.replace(data, task_index=task)


def test_a_chunk_ends_where_the_instruction_changes() -> None:
    data = two_instructions()
    index = WindowIndex(data, np.ones(2 * LENGTH, bool), n_obs_steps=2, horizon=8)
    windows = index.windows(np.array([2, CHANGE, LENGTH + 1]))
    assert windows.commanded.tolist() == [
        [1, 2, 3, 4, 4, 4, 4, 4],
        [5, 5, 6, 7, 8, 9, 10, 11],
        [12, 13, 14, 15, 16, 17, 18, 19],
    ]
    assert windows.is_pad.tolist() == [[False] * 4 + [True] * 4, [True] + [False] * 7, [False] * 8]
    assert windows.observed.tolist() == [[1, 2], [4, 5], [12, 13]], "what was seen before the change counts"
    assert (data.task_index[windows.commanded] == data.task_index[[2, CHANGE, 13]][:, None]).all()


def test_pauses_at_the_change_do_not_lead_into_the_other_instruction() -> None:
    data = two_instructions()
    non_idle = np.ones(2 * LENGTH, bool)
    non_idle[[3, 4, 5, 6]] = False
    windows = WindowIndex(data, non_idle, n_obs_steps=2, horizon=6).windows(np.array([2, 8]))
    assert windows.commanded.tolist() == [[1, 2, 2, 2, 2, 2], [7, 8, 9, 10, 11, 11]]
    assert windows.is_pad.tolist() == [[False] * 2 + [True] * 4, [False] * 5 + [True]]


def test_the_last_frames_of_an_instruction_start_no_example() -> None:
    starts = np.flatnonzero(~start_mask(two_instructions(), 2))
    assert starts.tolist() == [3, 4, 10, 11, 22, 23]

# SPDX-License-Identifier: Apache-2.0
"""Pauses are found by each joint's own speed, and chunks skip them."""

from dataclasses import replace

import numpy as np
import torch
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import random_policy, tiny_config, tiny_tokenizer

from dit_policy_ros.data.dataset import Demonstrations
from dit_policy_ros.policy.processing import action_origin
from dit_policy_ros.training.batches import BatchMaker, BatchOptions
from dit_policy_ros.training.batches._idle_frames import non_idle_mask
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.trainer import Trainer

LENGTH = 12  # frames of an episode


def demonstrations(steps: list[list[float]]) -> Demonstrations:
    """Two episodes of LENGTH frames; a joint's position is the sum of its ``steps`` (LENGTH, A) so far."""
    path = np.cumsum(np.asarray(steps, np.float32), axis=0)
    return replace(tiny_demonstrations(episodes=2, length=LENGTH), action=np.concatenate((path, path)))


def moving(fast: list[int], gripper: list[int] | None = None) -> Demonstrations:
    """The first joint moves at full speed at the frames ``fast``, the last one, much slower, at others."""
    steps = np.zeros((LENGTH, 4))
    steps[fast, 0] = 0.05
    steps[gripper or [], 3] = 0.001
    return demonstrations(steps.tolist())


def test_a_pause_is_dropped_and_the_end_is_kept() -> None:
    data = moving([1, 2, 6, 7])
    kept = np.flatnonzero(non_idle_mask(data, 0.1))
    assert kept.tolist() == [
        frame + start for start in (0, LENGTH) for frame in (0, 1, 2, 6, 7, 8, 9, 10, 11)
    ]
    assert non_idle_mask(data, 0.0).all()


def test_each_joint_is_compared_with_its_own_speed() -> None:
    kept = np.flatnonzero(non_idle_mask(moving([1, 7], gripper=[3, 4]), 0.1)[:LENGTH])
    assert kept.tolist() == [0, 1, 3, 4, 7, 8, 9, 10, 11], "a gripper that closes is no pause"


def test_a_creeping_joint_is_idle() -> None:
    steps = np.zeros((LENGTH, 4))
    steps[:, 0] = 0.002
    steps[[1, 8], 0] = 0.05
    kept = np.flatnonzero(non_idle_mask(demonstrations(steps.tolist()), 0.1)[:LENGTH])
    assert kept.tolist() == [0, 1, 8, 9, 10, 11]


def test_without_any_motion_nothing_is_dropped() -> None:
    assert non_idle_mask(moving([]), 0.5).all()


def test_chunks_skip_a_pause_and_observations_do_not() -> None:
    data = moving([1, 2, 6, 7])
    config = tiny_config(n_obs_steps=2, horizon=6)
    policy, tokenizer = random_policy(config), tiny_tokenizer()
    windows = BatchMaker(data, policy, tokenizer, options=BatchOptions(drop_idle=0.1)).windows(
        np.array([2, 6, LENGTH, LENGTH + 11])
    )
    assert windows.observed.tolist() == [[1, 2], [5, 6], [12, 12], [22, 23]]
    assert windows.commanded.tolist() == [
        [1, 2, 6, 7, 8, 9],
        [2, 6, 7, 8, 9, 10],
        [12, 12, 13, 14, 18, 19],
        [22, 23, 23, 23, 23, 23],
    ]
    assert windows.is_pad.tolist() == [
        [False] * 6,
        [False] * 6,
        [True] + [False] * 5,
        [False] * 2 + [True] * 4,
    ]
    whole = BatchMaker(data, policy, tokenizer).windows(np.array([2]))
    assert whole.commanded.tolist() == [[1, 2, 3, 4, 5, 6]], "without the option pauses are kept"


def test_relative_actions_and_their_statistics_skip_pauses() -> None:
    data = moving([1, 2, 6, 7])
    config = tiny_config(relative_entries=(0,), n_obs_steps=2, horizon=4)
    maker = BatchMaker(data, random_policy(config), tiny_tokenizer(), options=BatchOptions(drop_idle=0.1))
    action = maker.scales["action"].unnormalize(maker.read(np.array([2])).action)
    counted = torch.from_numpy(data.action[[1, 2, 6, 7]]) - action_origin(
        torch.from_numpy(data.state[[2]]), (0,), 4
    )
    torch.testing.assert_close(action, counted, atol=1e-5, rtol=1e-4)
    kept = np.flatnonzero(maker.non_idle)
    windows = maker.windows(kept)
    rows = np.where(windows.is_pad, kept[:, None], windows.commanded)  # (K, T)
    chunks = data.action[rows, 0] - data.state[kept, None, 0]
    assert float(maker.stats["action"]["min"][0]) == float(chunks.min())
    assert float(maker.stats["action"]["max"][0]) == float(chunks.max())


def test_training_draws_no_pause() -> None:
    data = moving([1, 2, 6, 7])
    config = TrainConfig(steps=30, batch_size=8, drop_idle=0.1)
    policy = random_policy(tiny_config(n_obs_steps=2, horizon=4, n_action_steps=2))
    batches = BatchMaker(data, policy, tiny_tokenizer(), options=BatchOptions(drop_idle=config.drop_idle))
    seen: set[int] = set()
    read = batches.read

    def watched(frames: np.ndarray, *rest: object) -> object:
        seen.update(int(frame) % LENGTH for frame in frames)
        return read(frames, *rest)

    batches.read = watched  # type: ignore[method-assign,assignment]
    Trainer(policy, batches, config).run(lambda now: None, lambda network, step: None)
    assert {0, 1, 2, 6, 7} <= seen and not {3, 4, 5} & seen

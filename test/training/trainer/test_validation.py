# SPDX-License-Identifier: Apache-2.0
"""Scores measure a policy on held-out episodes, task by task, without side effects."""

import numpy as np
import pytest
import torch
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import TASKS, random_policy, tiny_config, tiny_tokenizer

from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.batches import BatchMaker, held_out_mask
from dit_policy_ros.training.trainer import score_policy


def setting() -> tuple[DiTPolicy, BatchMaker, np.ndarray]:
    policy = random_policy(
        tiny_config(noise_scheduler_type="DDIM", num_inference_steps=3, dropout=0.5, clip_sample=False)
    )
    data = tiny_demonstrations(episodes=6, length=9)
    return policy, BatchMaker(data, policy, tiny_tokenizer()), held_out_mask(data, 0.4, seed=0)


def test_the_error_is_the_mean_distance_in_robot_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a policy that predicts a constant, compared with the demonstration up to its end."""
    policy, batches, mask = setting()
    constant = torch.full((1, 8, 4), 0.25)  # in normalised units
    monkeypatch.setattr(
        policy, "sample", lambda observation, has_entry: constant.expand(len(observation), -1, -1)
    )
    scores = score_policy(policy, batches, mask)
    data, scale = batches.data, batches.scales["action"]
    predicted = scale.unnormalize(constant)[0, 0].numpy()  # (A,)
    _, last = data.episode_bounds()
    for number, score in enumerate(scores.tasks):
        frames = np.flatnonzero(mask & (data.task_index == number))
        distances = [
            np.abs(predicted - data.action[step]).mean()
            for frame in frames
            for step in range(frame, min(frame + policy.config.n_action_steps, last[frame] + 1))
        ]
        assert score.task == TASKS[number] and score.frames == len(frames)
        assert score.action_error == pytest.approx(np.mean(distances), rel=1e-5)
    assert scores.action_error == pytest.approx(np.mean([score.action_error for score in scores.tasks]))


def test_scoring_is_repeatable_and_keeps_mode_and_generators() -> None:
    policy, batches, mask = setting()
    policy.train()
    before = torch.get_rng_state()
    first = score_policy(policy, batches, mask)
    assert policy.training and torch.equal(before, torch.get_rng_state())
    torch.rand(10)
    assert score_policy(policy, batches, mask) == first
    with torch.no_grad():
        policy.noise_predictor.output_proj.bias.add_(0.5)
    assert score_policy(policy, batches, mask) != first


def test_a_task_without_held_out_episodes_has_no_score() -> None:
    policy, batches, mask = setting()
    mask = mask & (batches.data.task_index == 1)
    assert [score.task for score in score_policy(policy, batches, mask).tasks] == [TASKS[1]]

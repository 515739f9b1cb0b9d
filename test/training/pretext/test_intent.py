# SPDX-License-Identifier: Apache-2.0
"""Images and instruction together tell the coming motion, before a policy learns actions."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import STATE_DIM, random_policy, tiny_config, tiny_tokenizer

from dit_policy_ros.data.dataset import Demonstrations, vector_stats
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.batches import BatchMaker, BatchOptions
from dit_policy_ros.training.pretext import (
    IntentFrames,
    PretextSettings,
    coming_states,
    pretrain_intent,
)

EPISODES, LENGTH = 40, 12


def demonstrations() -> Demonstrations:
    """From the same rest, the joints move to the square in the image, or away from it for the second task."""
    data = tiny_demonstrations(episodes=EPISODES, length=LENGTH)
    target = data.action[:, :1]  # (M, 1)
    progress = (np.arange(len(target)) % LENGTH / (LENGTH - 1))[:, None]
    state = (np.repeat(target, STATE_DIM, axis=1) * progress).astype(np.float32)
    return dataclasses.replace(
        data, state=state, stats=data.stats | {"observation.state": vector_stats(state)}
    )


def maker_and_policy(data: Demonstrations, **options: Any) -> tuple[BatchMaker, DiTPolicy]:
    policy = random_policy(tiny_config(observation_layers=1, image_resize_shape=(24, 24), **options))
    wordings = {task: (task, f"please {task}") for task in data.tasks}
    return BatchMaker(data, policy, tiny_tokenizer(), options=BatchOptions(wordings=wordings)), policy


SETTINGS = PretextSettings(800, batch_size=64, learning_rate=3e-3, weight_decay=1e-4)


def test_it_learns_the_motion_that_is_meant_and_nothing_else_of_the_network_changes() -> None:
    data, losses = demonstrations(), list[float]()
    batches, policy = maker_and_policy(data)
    chosen = IntentFrames.choose(batches, policy, np.ones(len(data.state), bool), most=len(data.state))
    before = {name: t.clone() for name, t in policy.state_dict().items()}
    errors = pretrain_intent(policy, batches, chosen, SETTINGS, report=lambda step, loss: losses.append(loss))
    assert len(losses) == SETTINGS.steps and np.mean(losses[-20:]) < 0.3 * np.mean(losses[:20])
    assert errors.shape == (round(0.05 * len(data.state)), 5 * STATE_DIM)
    taught = {id(each) for each in policy.fusion_parameters()}
    for name, parameter in policy.named_parameters():
        assert torch.equal(parameter, before[name]) is (id(parameter) not in taught), name


def test_scenes_that_were_not_learned_need_the_instruction() -> None:
    """Shuffled instructions are learned by heart, which tells nothing of other scenes."""
    data, error = demonstrations(), dict[str, float]()
    where = (
        data.action[:, :1] * np.where(data.task_index == 0, 1, -1)[:, None]
    )  # in the image, for both tasks
    state = np.concatenate((data.state[:, :1], np.repeat(where, STATE_DIM - 1, axis=1)), axis=1)
    seen = dataclasses.replace(
        data,
        state=state.astype(np.float32),
        images={},
        image_shapes={},
        stats=data.stats | {"observation.state": vector_stats(state.astype(np.float32))},
    )
    shuffled = np.random.default_rng(1).permutation(EPISODES) % len(data.tasks)
    for name, task in (("told", data.task_index), ("shuffled", np.repeat(shuffled, LENGTH))):
        told = dataclasses.replace(seen, task_index=task.astype(np.int64))
        batches, policy = maker_and_policy(told, cameras=0)
        chosen = IntentFrames.choose(batches, policy, np.ones(len(state), bool), most=len(state))
        error[name] = float(pretrain_intent(policy, batches, chosen, SETTINGS).mean())
    spread = float(np.abs(coming_states(seen, chosen.frames, (0.25, 0.5, 1.0, 2.0))).mean())
    assert error["told"] < 0.5 * spread and error["told"] < 0.5 * error["shuffled"], (error, spread)


def test_frames_are_spread_and_only_what_they_show_is_encoded() -> None:
    data = demonstrations()
    batches, policy = maker_and_policy(data)
    usable, counted = np.arange(len(data.state)) >= 24, list[tuple[int, int]]()
    chosen = IntentFrames.choose(
        batches, policy, usable, most=7, report=lambda done, total: counted.append((done, total))
    )
    assert len(chosen.frames) == 7 and chosen.frames[0] == 24 and chosen.frames[-1] == len(data.state) - 1
    assert np.ptp(np.diff(chosen.frames)) <= 1
    assert chosen.features is not None
    read = np.unique(batches.windows(chosen.frames).observed)
    is_encoded = chosen.features.rows >= 0
    np.testing.assert_array_equal(np.flatnonzero(is_encoded), read)
    assert counted[-1] == (len(read), len(read))


def test_without_cameras_state_and_instruction_tell_it() -> None:
    data = dataclasses.replace(demonstrations(), images={}, image_shapes={})
    batches, policy = maker_and_policy(data, cameras=0)
    chosen = IntentFrames.choose(batches, policy, np.ones(len(data.state), bool), most=50)
    assert chosen.features is None
    settings = PretextSettings(2, batch_size=8, learning_rate=1e-3, weight_decay=0.0)
    assert np.isfinite(pretrain_intent(policy, batches, chosen, settings)).all()


def test_a_network_that_reads_nothing_together_is_refused() -> None:
    data = demonstrations()
    policy = random_policy(tiny_config())
    batches = BatchMaker(data, policy, tiny_tokenizer())
    chosen = IntentFrames.choose(batches, policy, np.ones(len(data.state), bool), most=8)
    with pytest.raises(ValueError, match="observation_layers"):
        pretrain_intent(policy, batches, chosen, PretextSettings(1, 8, 1e-3, 0.0))

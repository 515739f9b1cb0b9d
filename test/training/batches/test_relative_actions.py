# SPDX-License-Identifier: Apache-2.0
"""Relative actions: what is learned, what is predicted, and how known actions are converted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import TASKS, random_observation, random_policy, save_tiny, tiny_config, tiny_tokenizer

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.data.dataset import Demonstrations, vector_stats
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import read_checkpoint
from dit_policy_ros.policy.config import NormalizationMode
from dit_policy_ros.policy.processing import action_origin
from dit_policy_ros.policy.sampling import action_prefix
from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.batches._chunk_statistics import chunk_stats
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.new_policy import relative_entries
from dit_policy_ros.training.new_policy._new_policy import DataShape, new_policy_config

ENTRIES = (0, 2, 3)  # of four; entry 1 stays absolute


def test_the_reference_is_the_state_at_relative_entries() -> None:
    state = torch.arange(10.0).reshape(2, 5)
    assert action_origin(state, ENTRIES, 4).tolist() == [[[0.0, 0.0, 2.0, 3.0]], [[5.0, 0.0, 7.0, 8.0]]]
    assert not action_origin(state, (), 4).any()


def test_a_batch_is_relative_to_the_newest_state_and_fills_its_range() -> None:
    data = tiny_demonstrations()
    maker = BatchMaker(data, random_policy(tiny_config(relative_entries=ENTRIES)), tiny_tokenizer())
    frames = np.array([3, 17])
    raw = maker.read(frames)
    restored = maker.scales["action"].unnormalize(raw.action)  # (2, T, A)
    windows = maker.windows(frames)
    expected = data.action[windows.commanded].copy()
    expected[..., list(ENTRIES)] -= data.state[frames][:, None, list(ENTRIES)]
    np.testing.assert_allclose(restored, expected, atol=1e-5)
    assert maker.largest_actions() == pytest.approx([1.0] * 4, abs=1e-4), "min-max of the relative actions"
    everything = maker.read(np.arange(len(data.state)))
    assert everything.action[~everything.is_pad].abs().max() <= 1.0 + 1e-4


def test_statistics_part_by_part_are_those_of_the_whole() -> None:
    whole = torch.from_numpy(np.random.default_rng(0).normal(3.0, 2.0, (2000, 7, 4)).astype(np.float32))
    found = chunk_stats(iter(whole.split(130)))
    flat = whole.flatten(0, 1).numpy()
    for name, expected in (
        ("min", flat.min(0)), ("max", flat.max(0)), ("mean", flat.mean(0)), ("std", flat.std(0)),
    ):  # fmt: skip
        np.testing.assert_allclose(found[name], expected, rtol=1e-4)
    assert (found["q01"] < found["q10"]).all() and (found["q90"] < found["q99"]).all()
    np.testing.assert_allclose(found["q10"], np.quantile(flat, 0.1, axis=0), atol=0.4)


def test_a_loaded_policy_adds_the_state(tmp_path: Path) -> None:
    config = tiny_config(relative_entries=ENTRIES)
    policy = load_policy(save_tiny(tmp_path / "relative", config), "cpu")
    assert policy.checkpoint.config.relative_entries == ENTRIES
    images, state = random_observation(config)
    noise = np.random.default_rng(1).standard_normal((policy.horizon, 4), dtype=np.float32)
    policy.seed_sampling(3)
    actions = policy.predict(images, state, TASKS[0], noise)
    observation = policy.observe(images, state, TASKS[0])
    policy.seed_sampling(3)
    with torch.no_grad():
        sampled = policy.engine.sample(observation, torch.from_numpy(noise)[None], None)
    counted = policy.checkpoint.processors.action.unnormalize(sampled)[0, policy.n_obs_steps - 1 :]
    expected = counted.numpy() + np.where(np.isin(np.arange(4), ENTRIES), state[-1, :4], 0.0)
    np.testing.assert_allclose(actions, expected, atol=1e-5)
    scale = policy.checkpoint.processors.action
    known = action_prefix(
        Continuation(np.tile(actions[:1], (policy.horizon, 1)).astype(float), 1),
        scale,
        action_origin(torch.from_numpy(state[-1]), ENTRIES, 4),
    )
    np.testing.assert_allclose(scale.unnormalize(known.actions)[0, 0], counted[0], atol=1e-5)


def test_a_checkpoint_has_a_type_that_lerobot_refuses(tmp_path: Path) -> None:
    assert tiny_config(relative_entries=ENTRIES).to_mapping()["type"] == "dit_policy_ros"
    with pytest.raises(
        CheckpointError, match="relative_entries: expected indices of entries that both action and state have"
    ):
        tiny_config(relative_entries=(9,)).check("here")
    folder = save_tiny(tmp_path / "c", tiny_config(relative_entries=ENTRIES))
    assert read_checkpoint(folder).config.extensions == {"relative_entries": ENTRIES}


def test_all_joints_are_relative_but_those_that_are_named() -> None:
    data = tiny_demonstrations()
    assert relative_entries(TrainConfig(absolute_joints=("b",)), _as_robot(data)) == [0, 2, 3]
    assert relative_entries(TrainConfig(absolute_joints=("",)), _as_robot(data)) == [0, 1, 2, 3]
    options = new_policy_config(
        TrainConfig(relative_actions=True, absolute_joints=("b",)), DataShape.of(_as_robot(data))
    )
    assert options.relative_entries == (0, 2, 3)
    assert options.normalization_mapping["ACTION"] is NormalizationMode.MEAN_STD and not options.clip_sample
    asked = {"clip_sample": True, "clip_sample_range": 4.0}
    options = new_policy_config(
        TrainConfig(relative_actions=True, absolute_joints=("b",), policy=asked),
        DataShape.of(_as_robot(data)),
    )
    assert options.clip_sample and options.clip_sample_range == 4.0, "--policy overrides"
    with pytest.raises(TrainingError, match=r"no joint has 'gripper' in its name; the joints are a, b, c, d"):
        relative_entries(TrainConfig(), _as_robot(data))
    with pytest.raises(TrainingError, match="must be those of the state, by name and in the same order"):
        relative_entries(TrainConfig(), data)


def _as_robot(data: Demonstrations) -> Demonstrations:
    """The same, with a state that holds the joints only."""
    state = data.state[:, :4]
    return replace(
        data,
        state=state,
        state_names=data.action_names,
        stats={**data.stats, "observation.state": vector_stats(state)},
    )


@pytest.mark.parametrize("horizon", [7, 24, 77, 1001])
def test_quantiles_have_rows_of_every_step_of_a_chunk(horizon: int) -> None:
    steps = torch.arange(horizon, dtype=torch.float32).reshape(1, horizon, 1)
    found = chunk_stats(steps.expand(40, -1, -1).split(10))
    for percent, name in ((1, "q01"), (99, "q99")):
        expected = torch.quantile(steps.flatten(), percent / 100)
        assert found[name].item() == pytest.approx(expected.item(), abs=0.02 * horizon + 0.5)

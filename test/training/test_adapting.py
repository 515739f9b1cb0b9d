# SPDX-License-Identifier: Apache-2.0
"""A run that adapts the checkpoint of another robot: refusals, what it says, and what it writes."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("lerobot", reason="lerobot is not installed")

from dataset_shapes import write_shape
from tiny_dataset import write_tiny_dataset
from tiny_policy import IMAGE, TASKS, random_observation, save_tiny, tiny_config

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import read_checkpoint
from dit_policy_ros.policy.config import Feature, FeatureType
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.trainer import RunFolder, TrainObserver, make_accelerator, train_policy

OPTIONS: dict[str, Any] = {
    "steps": 2, "batch_size": 4, "checkpoint_every": 2, "device": "cpu", "warmup_steps": 1,
}  # fmt: skip


class Lines(TrainObserver):
    def __init__(self) -> None:
        self.adapted: tuple[str, ...] = ()

    def on_adapted(self, lines: Sequence[str]) -> None:
        self.adapted = tuple(lines)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the robot with the joints a, b, c, d and the camera cam0."""
    camera = {"observation.images.cam0": Feature(FeatureType.VISUAL, (3, *IMAGE))}
    inputs = camera | {"observation.state": Feature(FeatureType.STATE, (4,))}
    return save_tiny(
        tmp_path_factory.mktemp("checkpoint") / "four_joints",
        tiny_config(input_features=inputs, noise_scheduler_type="DDIM", num_inference_steps=4),
    )


@pytest.fixture(scope="module")
def other_robot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three joints of other names."""
    return write_tiny_dataset(tmp_path_factory.mktemp("data") / "three", joints=("x", "y", "z"))


def train(dataset: Path, output: Path, **options: Any) -> tuple[Path, tuple[str, ...]]:
    config = TrainConfig(dataset=(str(dataset),), **(OPTIONS | options))
    observer = Lines()
    result = train_policy(config, RunFolder(output), make_accelerator(config), observer)
    assert result.checkpoint is not None
    return result.checkpoint / "pretrained_model", observer.adapted


def test_another_robot_is_refused_with_the_remedy(
    checkpoint: Path, other_robot: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"x, y, z.*another robot, --adapt keeps"):
        train(other_robot, tmp_path / "run", init=str(checkpoint))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("usual", "no images of camera observation.images.cam0; present: top"),
        ("no_camera", "no images of camera"),
        ("one_of_each", "no images of camera"),
    ],
)
def test_other_cameras_are_refused_with_the_remedy(
    checkpoint: Path, tmp_path: Path, shape: str, words: str
) -> None:
    dataset = write_shape(tmp_path / "data", shape)
    with pytest.raises(DitPolicyError) as caught:
        train(dataset, tmp_path / "run", init=str(checkpoint))
    assert words in str(caught.value) and "--adapt keeps" in str(caught.value)


def test_an_adapted_policy_runs_on_the_other_robot(
    checkpoint: Path, other_robot: Path, tmp_path: Path
) -> None:
    folder, lines = train(other_robot, tmp_path / "run", init=str(checkpoint), adapt=True)
    assert any("4 entries (a, b, c, d) before, 3 entries (x, y, z) now" in line for line in lines)
    assert any("transformer" in line and "weights kept" in line for line in lines)
    policy = load_policy(folder)
    assert policy.joint_names == ("x", "y", "z") and policy.action_dim == 3
    images, state = random_observation(read_checkpoint(folder).config)
    chunk = policy.predict(images, state, TASKS[0])
    assert chunk.shape[1] == 3

    stored = json.loads((folder / "dit_policy_ros.json").read_text())["training"]["adaptation"]
    assert stored == json.loads((tmp_path / "run" / "adaptation.json").read_text())
    assert stored["checkpoint"] == checkpoint.name
    assert stored["weights"]["action"]["kept"] == 0 and stored["weights"]["transformer"]["kept"] > 0


def test_a_resumed_run_is_the_same(checkpoint: Path, other_robot: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"init": str(checkpoint), "adapt": True, "steps": 4}
    whole, _ = train(other_robot, tmp_path / "whole", **options)
    parts = tmp_path / "parts"
    shutil.copytree(tmp_path / "whole", parts, symlinks=True)  # stopped after step 2
    shutil.rmtree(parts / "checkpoints" / "000004")
    (parts / "checkpoints" / "last").unlink()
    (parts / "checkpoints" / "last").symlink_to("000002")
    config = RunFolder(parts).resumed_config({})
    result = train_policy(config, RunFolder(parts), make_accelerator(config), TrainObserver(), resume=True)
    assert result.checkpoint is not None
    ours, theirs = (
        read_checkpoint(each).policy.state_dict() for each in (result.checkpoint / "pretrained_model", whole)
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_adapt_alone_and_options_beside_it() -> None:
    with pytest.raises(TrainingError, match="adapt: expected init to name the checkpoint"):
        TrainConfig(adapt=True)
    with pytest.raises(TrainingError, match="policy: expected none together with init"):
        TrainConfig(init="c", policy={"horizon": 8})
    assert TrainConfig(init="c", adapt=True, policy={"horizon": 8}).policy == {"horizon": 8}

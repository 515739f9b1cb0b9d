# SPDX-License-Identifier: Apache-2.0
"""`train --state-features`: chosen vectors become inputs, with their own statistics, names and refusals."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")

from tiny_dataset import dataset_config, write_tiny_dataset
from tiny_policy import TASKS, save_tiny

from dit_policy_ros.core.contract import Vector, VectorType
from dit_policy_ros.core.errors import DatasetError, DitPolicyError
from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import read_checkpoint
from dit_policy_ros.policy.processing import read_stats
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.diagnostics import open_samples
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.trainer import RunFolder, TrainObserver, make_accelerator, train_policy

TOUCH = Vector("touch", "touch", VectorType.FLOAT64_ARRAY, ("tip", "palm"), 0.1)
STATE = Vector("environment_state", "env", VectorType.FLOAT64_ARRAY, ("level",), 0.1)
OPTIONS: dict[str, Any] = {
    "steps": 2, "batch_size": 4, "checkpoint_every": 2, "device": "cpu", "warmup_steps": 1,
    "policy": {"hidden_dim": 32, "num_layers": 1, "num_heads": 2, "image_resize_shape": [36, 36],
               "image_crop_shape": None, "num_inference_steps": 2, "horizon": 8, "n_action_steps": 4},
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "with_vectors"
    return write_tiny_dataset(folder, vectors=(TOUCH, STATE))


class Notices(TrainObserver):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_described(self, dataset: str, notices: Any) -> None:
        self.lines += notices


def train(dataset: Path, output: Path, resume: bool = False, **options: Any) -> tuple[Path, list[str]]:
    config = TrainConfig(dataset=(str(dataset),), **(OPTIONS | options))
    observer = Notices()
    if resume:
        config = RunFolder(output).resumed_config({"steps": options["steps"]})
    result = train_policy(config, RunFolder(output), make_accelerator(config), observer, resume)
    assert result.checkpoint is not None
    return result.checkpoint / "pretrained_model", observer.lines


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory) -> tuple[Path, list[str]]:
    output = tmp_path_factory.mktemp("run") / "run"
    return train(dataset, output, state_features=("touch", "observation.environment_state"))


def test_the_chosen_vectors_follow_the_state_in_the_data(dataset: Path) -> None:
    data = read_demonstrations(dataset, vectors=("touch",))
    assert data.state_parts == {"observation.state": 4, "observation.touch": 2}
    np.testing.assert_allclose(data.state[:, 4:], 100 * data.action[:, :2], rtol=1e-6)
    assert data.state_names == ("a", "b", "c", "d")
    assert set(data.stats) >= {"observation.touch"}


def test_the_checkpoint_has_features_names_and_statistics(trained: tuple[Path, list[str]]) -> None:
    checkpoint = read_checkpoint(trained[0])
    config, facts = checkpoint.config, checkpoint.facts
    assert config.state_parts == {
        "observation.state": 4,
        "observation.touch": 2,
        "observation.environment_state": 1,
    }
    assert config.input_features["observation.environment_state"].type == "ENV"
    assert config.normalization_mapping["ENV"] == config.normalization_mapping["STATE"]
    assert facts.vector_names == {
        "observation.touch": ("tip", "palm"),
        "observation.environment_state": ("level",),
    }
    stats = read_stats(trained[0])["observation.touch"]
    assert float(stats["max"].max()) > 10.0  # in its own unit
    assert not any("is not used" in line and "touch" in line for line in trained[1])


@pytest.mark.slow
def test_a_vector_that_was_not_chosen_is_listed_and_not_read(dataset: Path, tmp_path: Path) -> None:
    folder, notices = train(dataset, tmp_path / "run", state_features=("touch",))
    unused = "observation.environment_state (1,) is not used (train --state-features environment_state"
    assert any(line.startswith(unused) for line in notices)
    assert load_policy(folder).state_dim == 6
    plain, _ = train(dataset, tmp_path / "plain")
    assert json.loads((plain / "config.json").read_text())["type"] == "multi_task_dit"


def test_the_policy_predicts_from_samples_of_the_dataset(dataset: Path, trained: Any) -> None:
    policy = load_policy(trained[0])
    sample = open_samples(dataset, policy).read(5)
    assert sample.state.shape == (policy.n_obs_steps, 7)
    data = read_demonstrations(dataset, vectors=("touch", "environment_state"))
    np.testing.assert_allclose(sample.state[-1], data.state[5], rtol=1e-6)
    assert np.isfinite(policy.predict(sample.images, sample.state, TASKS[0])).all()


@pytest.mark.slow
def test_a_resumed_run_and_a_fine_tuned_one_keep_the_vectors(
    dataset: Path, trained: Any, tmp_path: Path
) -> None:
    folder, _ = train(dataset, tmp_path / "run", state_features=("touch",))
    resumed, _ = train(dataset, tmp_path / "run", resume=True, steps=4)
    assert read_checkpoint(resumed).config.state_features == ("observation.touch",)
    tuned, _ = train(dataset, tmp_path / "tuned", init=str(folder), policy={})
    assert read_checkpoint(tuned).facts.vector_names == {"observation.touch": ("tip", "palm")}


@pytest.mark.slow
def test_fine_tuning_reads_no_vector_that_the_network_does_not(dataset: Path, tmp_path: Path) -> None:
    """LeRobot lists every observed feature as an input of a network that reads the state alone."""
    plain = dataset_config()
    touch = {"observation.touch": dataclasses.replace(plain.input_features["observation.state"], shape=(2,))}
    theirs = dataclasses.replace(plain, input_features=plain.input_features | touch)
    folder = save_tiny(tmp_path / "theirs", theirs)
    tuned, _ = train(dataset, tmp_path / "tuned", init=str(folder), policy={}, statistics="dataset")
    assert load_policy(tuned).vectors == ()


@pytest.mark.slow
def test_other_entries_than_the_checkpoints_are_refused(trained: Any, tmp_path: Path) -> None:
    swapped = dataclasses.replace(TOUCH, entries=("palm", "tip"))
    other = write_tiny_dataset(tmp_path / "other", vectors=(swapped, STATE))
    with pytest.raises(TrainingError, match=r"its observation\.touch has the entries tip, palm"):
        train(other, tmp_path / "run", init=str(trained[0]), policy={})
    lacking = write_tiny_dataset(tmp_path / "lacking", vectors=(STATE,))
    with pytest.raises(DatasetError, match=r"observation\.touch: expected further vectors of the dataset"):
        train(lacking, tmp_path / "run", init=str(trained[0]), policy={})


def test_datasets_read_together_need_the_same_vectors(dataset: Path, tmp_path: Path) -> None:
    swapped = dataclasses.replace(TOUCH, entries=("palm", "tip"))
    other = write_tiny_dataset(tmp_path / "other", vectors=(swapped, STATE))
    assert len(read_demonstrations([dataset, other]).state) == 96
    with pytest.raises(DatasetError, match=r"observation\.touch names: expected"):
        read_demonstrations([dataset, other], vectors=("touch",))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"state_features": ("tuch",)}, "which has: touch, environment_state. Did you mean 'touch'?"),
        ({"state_features": ("state",)}, "it is read anyway"),
        ({"policy": {"state_features": ["x"]}}, "name them with --state-features instead"),
        ({"init": "x", "policy": {}, "state_features": ("touch",)}, "none together with init"),
    ],
)
def test_a_wrong_choice_is_refused_with_what_there_is(dataset: Path, tmp_path, options, said: str) -> None:
    with pytest.raises(DitPolicyError) as caught:
        train(dataset, tmp_path / "run", **options)
    assert said in str(caught.value)

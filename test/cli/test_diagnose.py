# SPDX-License-Identifier: Apache-2.0
"""The command on a dataset, with a trained network and with copies of it that were broken on purpose."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_policy import TASKS, random_policy, save_tiny, tiny_config, tiny_tokenizer

from dit_policy_ros.cli.diagnose import main
from dit_policy_ros.core.contract import Camera
from dit_policy_ros.data.dataset import DatasetSpec, SampleReader, read_demonstrations
from dit_policy_ros.data.recording import DatasetWriter
from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.config import Feature, FeatureType, PolicyConfig
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.policy.processing import Stats
from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.trainer import Trainer

JOINTS, SIZE, LENGTH = ("a", "b"), (24, 24), 14
GOALS = np.array([[-1.0, 0.5], [1.0, -0.5]])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each task goes straight to its goal from a random start."""
    pytest.importorskip("lerobot", reason="lerobot is not installed: datasets cannot be written")
    folder, rng = tmp_path_factory.mktemp("data") / "set", np.random.default_rng(0)
    cameras = (Camera("cam0", "/cam0", *SIZE, max_age=0.5),)
    writer = DatasetWriter(folder, DatasetSpec(30.0, cameras, JOINTS, "test"))
    picture = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    for episode in range(12):
        state = rng.uniform(-1.0, 1.0, 2)
        for _ in range(LENGTH):
            action = state + 0.25 * (GOALS[episode % 2] - state)
            writer.add_frame({"cam0": picture}, state, action, TASKS[episode % 2])
            state = action
        writer.save_episode()
    writer.finalize()
    return folder


def config() -> PolicyConfig:
    camera = {"observation.images.cam0": Feature(FeatureType.VISUAL, (3, *SIZE))}
    two = (len(JOINTS),)
    return tiny_config(
        input_features={**camera, "observation.state": Feature(FeatureType.STATE, two)},
        output_features={"action": Feature(FeatureType.ACTION, two)},
        n_obs_steps=1,
        num_layers=1,
        use_rope=False,  # absolute positions are learned in seconds
        use_positional_encoding=True,
        image_resize_shape=None,
        prediction_type="sample",
        noise_scheduler_type="DDIM",
        num_inference_steps=4,
        dropout=0.0,
    )


@pytest.fixture(scope="module")
def trained(dataset: Path) -> tuple[DiTPolicy, Stats]:
    torch.manual_seed(0)
    policy = random_policy(config())
    batches = BatchMaker(read_demonstrations(dataset), policy, tiny_tokenizer())
    options = TrainConfig(
        steps=500, learning_rate=1e-2, warmup_steps=20, vision_lr_multiplier=0.0, ema_decay=0.0
    )
    Trainer(policy, batches, options).run(lambda progress: None, lambda policy, step: None)
    return policy.eval(), batches.stats


def save(folder: Path, trained: tuple[DiTPolicy, Stats], zeroed: str | None = None) -> str:
    """A checkpoint of the trained network, with the weights of one layer set to zero if given."""
    policy, stats = trained
    kept = {name: value.clone() for name, value in policy.state_dict().items()}
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if zeroed and name.startswith(zeroed):
                parameter.zero_()
    facts = CheckpointFacts(fps=30.0, joint_names=JOINTS, known_tasks=TASKS)
    write_checkpoint(folder, policy, stats, facts, tiny_tokenizer())
    policy.load_state_dict(kept)
    return str(folder)


def source(checkpoint: str | Path, dataset: str | Path) -> list[str]:
    return ["--checkpoint", str(checkpoint), "--dataset", str(dataset), "--device", "cpu"]


def diagnose(checkpoint: str, dataset: Path, output: Path) -> tuple[int, dict[str, Any]]:
    code = main([*source(checkpoint, dataset), "--output", str(output), "--observations", "12"])
    assert (output / "diagnosis.png").read_bytes().startswith(b"\x89PNG")
    return code, json.loads((output / "diagnosis.json").read_text())


def findings(report: dict[str, Any]) -> list[set[str]]:
    assert [task["task"] for task in report["tasks"]] == list(TASKS)
    return [set(task["findings"]) for task in report["tasks"]]


@pytest.mark.slow
def test_a_trained_policy_passes(trained, dataset, tmp_path, capsys) -> None:
    code, report = diagnose(save(tmp_path / "good", trained), dataset, tmp_path / "out")
    printed = capsys.readouterr().out
    assert code == 0, report
    assert report["passes"] is True
    assert findings(report) == [{"few demonstrations"}] * 2, "6 of each"
    assert all(task["demonstrations"] == 6 and task["observations"] == 12 for task in report["tasks"])
    assert "at risk" in printed and "FAILS" not in printed and "how to read the tables" in printed


def test_the_help_has_no_doubled_signs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "%" in shown and "%%" not in shown and "{" not in shown


def test_a_collapsed_policy_fails(trained, dataset, tmp_path, capsys) -> None:
    checkpoint = save(tmp_path / "collapsed", trained, zeroed="noise_predictor.output_proj")
    code, report = diagnose(checkpoint, dataset, tmp_path / "out")
    assert code == 1
    assert report["passes"] is False
    assert all({"collapsed", "idle", "language-blind"} <= found for found in findings(report))
    assert "Record more demonstrations" in " ".join(capsys.readouterr().out.split())


def test_a_language_blind_policy_fails(trained, dataset, tmp_path, capsys) -> None:
    checkpoint = save(tmp_path / "blind", trained, zeroed="observation_encoder.text_encoder.projection")
    code, report = diagnose(checkpoint, dataset, tmp_path / "out")
    assert code == 1
    assert all("language-blind" in found and "collapsed" not in found for found in findings(report))
    assert all(task["language_ratio"] < 1e-3 for task in report["tasks"])


def test_a_dataset_of_another_robot(dataset, tmp_path, capsys) -> None:
    assert main(source(save_tiny(tmp_path / "other"), dataset)) == 1
    printed = capsys.readouterr().err
    assert "entries of the state: the policy expects 5, got 2" in printed
    assert "pixels of camera cam0: the policy expects (30, 40), got (24, 24)" in printed


def test_files_that_cannot_be_read(dataset, tmp_path, capsys) -> None:
    from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata

    checkpoint = str(save_tiny(tmp_path / "three", tiny_config(cameras=3)))
    assert main(source(checkpoint, dataset)) == 1
    assert "no images of camera cam1, cam2; present: cam0" in capsys.readouterr().err
    assert main(source(checkpoint, tmp_path / "none")) == 1
    assert "meta/info.json, which does not exist" in capsys.readouterr().err
    empty = tmp_path / "empty"
    features = DatasetSpec(30.0, (), JOINTS, "test").features()
    LeRobotDatasetMetadata.create("local/empty", fps=30, features=features, root=empty)
    assert main(source(checkpoint, empty)) == 1
    assert "expected at least one episode, got none" in capsys.readouterr().err
    assert main(source(tmp_path, dataset)) == 1
    assert "lacks config.json" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([*source(checkpoint, dataset), "--observations", "1"])


def test_samples_hold_the_history_and_the_chunk(dataset: Path) -> None:
    reader = SampleReader(dataset, ("cam0",), n_obs_steps=3, chunk=4)
    whole = read_demonstrations(dataset)
    assert reader.tasks == whole.tasks == TASKS and reader.fps == 30.0
    np.testing.assert_array_equal(reader.task_index, whole.task_index)
    np.testing.assert_array_equal(reader.episode_index, whole.episode_index)
    np.testing.assert_array_equal(reader.action, whole.action)
    first, last = reader.read(LENGTH), reader.read(2 * LENGTH - 2)  # of the second episode
    np.testing.assert_array_equal(first.state, whole.state[[LENGTH] * 3])
    np.testing.assert_array_equal(first.images["cam0"], whole.images["cam0"][[LENGTH] * 3])
    np.testing.assert_array_equal(first.action, whole.action[LENGTH : LENGTH + 4])
    assert first.valid.all()
    np.testing.assert_array_equal(last.state, whole.state[2 * LENGTH - 4 : 2 * LENGTH - 1])
    assert last.valid.tolist() == [True, True, False, False]

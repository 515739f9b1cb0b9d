# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint and a dataset to a schedule that the policy then uses."""

from pathlib import Path

import numpy as np
import pytest
from tiny_policy import ACTION_DIM, IMAGE, TASKS, save_tiny, tiny_config

from dit_policy_ros.cli.block_cache import main
from dit_policy_ros.core.contract import Camera
from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.recording import DatasetWriter
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.config import Feature, FeatureType

JOINTS = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("lerobot", reason="lerobot is not installed: datasets cannot be written")
    folder, rng = tmp_path_factory.mktemp("data") / "set", np.random.default_rng(0)
    cameras = (Camera("cam0", "/cam0", *IMAGE, max_age=0.5),)
    writer = DatasetWriter(folder, DatasetSpec(30.0, cameras, JOINTS, "test"))
    for task in TASKS:
        for _ in range(6):
            picture = rng.integers(0, 256, (*IMAGE, 3), dtype=np.uint8)
            state = rng.uniform(-1.0, 1.0, ACTION_DIM)
            writer.add_frame({"cam0": picture}, state, state, task)
        writer.save_episode()
    writer.finalize()
    return folder


def source(checkpoint: Path, dataset: Path) -> list[str]:
    return ["--checkpoint", str(checkpoint), "--dataset", str(dataset), "--device", "cpu"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    config = tiny_config(noise_scheduler_type="DDIM", num_inference_steps=6)
    config.input_features["observation.state"] = Feature(FeatureType.STATE, (ACTION_DIM,))
    return save_tiny(tmp_path / "checkpoint", config)


def test_the_schedule_is_written_beside_the_checkpoint_and_used(
    dataset: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--keep", "0.5", "--observations", "4", "--num-inference-steps", "6"]
    assert main([*source(checkpoint, dataset), *options]) == 0
    printed = capsys.readouterr().out
    assert str(checkpoint / "block_cache.json") in printed and "diffusion DDIM 6 steps" in printed
    assert "of the blocks are computed; actions differ by at most" in printed
    assert "of the blocks computed" in load_policy(checkpoint, block_cache=True).backend


def test_a_mistake_is_reported(dataset: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = source(checkpoint, dataset)
    assert main([*arguments, "--keep", "1.5"]) == 1
    assert "keep: expected more than 0, at most 1, got 1.5" in capsys.readouterr().err
    assert main(source(checkpoint, checkpoint)) == 1
    with pytest.raises(SystemExit):
        main([*arguments, "--observations", "1"])
    assert not (checkpoint / "block_cache.json").exists()

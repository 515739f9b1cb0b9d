# SPDX-License-Identifier: Apache-2.0
"""`dit_policy train` from a dataset on disk to a checkpoint that runs, and its refusals."""

import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import TASKS, random_observation, save_tiny

from dit_policy_ros.cli import train, train_demo
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import read_checkpoint


@pytest.fixture
def from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dataset's reader has its own test; here it hands out what it was given."""
    monkeypatch.setattr(train, "read_demonstrations", lambda *_: tiny_demonstrations())


def test_a_new_policy(from_memory: None, tmp_path: Path) -> None:
    output = tmp_path / "new"
    options = ["--steps", "2", "--batch-size", "4", "--threads", "1", "--warmup-steps", "1"]
    assert train.main(["--dataset", "anything", "--output", str(output), *options]) == 0
    policy = load_policy(output, num_inference_steps=2)
    assert (policy.fps, policy.joint_names, policy.known_tasks) == (30.0, ("a", "b", "c", "d"), TASKS)
    images, state = random_observation(policy.checkpoint.config)
    assert np.isfinite(policy.predict(images, state, TASKS[0])).all()
    history = policy.checkpoint.facts.training
    assert history["step"] == 2 and history["frames"] == 48 and history["options"]["batch_size"] == 4


def test_training_goes_on_from_a_checkpoint(from_memory: None, tmp_path: Path) -> None:
    start, output = save_tiny(tmp_path / "start"), tmp_path / "further"
    options = [
        "--init",
        str(start),
        "--steps",
        "3",
        "--batch-size",
        "4",
        "--threads",
        "1",
        "--warmup-steps",
        "1",
    ]
    assert train.main(["--dataset", "anything", "--output", str(output), *options]) == 0
    before, after = read_checkpoint(start), read_checkpoint(output)
    assert after.config == before.config
    moved = [
        name
        for name, tensor in before.policy.state_dict().items()
        if not np.array_equal(tensor, after.policy.state_dict()[name])
    ]
    assert any("noise_predictor" in name for name in moved)
    assert any("vision_encoder" in name for name in moved)
    assert not any("text_encoder.text_encoder" in name for name in moved)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--dataset", "nowhere"], "looked for"),
        (["--dataset", "nowhere", "--steps", "0"], "steps: expected at least 1, got 0"),
        (["--dataset", "nowhere", "--threads", "0"], "--threads: expected at least 1"),
        (["--dataset", "nowhere", "--init", "neither"], "checkpoint 'neither': looked for a folder"),
    ],
)
def test_a_mistake_is_one_message(
    capsys: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    assert train.main([*options, "--output", "unused"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert expected in shown and "Traceback" not in shown


def test_help_teaches(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dit_policy train", "--help"])
    with pytest.raises(SystemExit) as raised:
        train.main()
    shown = capsys.readouterr().out
    assert raised.value.code == 0
    for text in ("--vision-lr-multiplier", "examples:", "--recipe touch_cubes", "LeRobotDataset v3"):
        assert text in shown


def test_an_unknown_recipe_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--recipe", "fold_towels"]) == 2
    assert "valid names: touch_cubes" in capsys.readouterr().err


def test_a_recipe_gets_its_own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(train_demo, "main", lambda arguments: given.append(arguments) or 0)
    assert train.main(["--recipe", "touch_cubes", "--output", "here"]) == 0
    assert given == [["--output", "here"]]
    assert train_demo.parser().parse_args(given[0]).output == Path("here")

# SPDX-License-Identifier: Apache-2.0
"""Training options: errors, files, and what a resumed run may change."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from dit_policy_ros.training.config import TrainConfig, check_resumable, config_from_mapping
from dit_policy_ros.training.errors import TrainingError
from dit_policy_ros.training.trainer import read_config


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate: expected at least 0.0, got nan"),
        ({"learning_rate": float("inf")}, "learning_rate: expected at least 0.0, got inf"),
        ({"ema_decay": 1.0}, "ema_decay: expected less than 1"),
        ({"batch_size": -4}, "batch_size: expected at least 1, got -4"),
        ({"instruction_dropout": 1.0}, "instruction_dropout: expected less than 1"),
        ({"drop_idle": 1.0}, "drop_idle: expected less than 1"),
        ({"validation": 1.0}, "validation: expected less than 1"),
        ({"device": "gpu"}, "device: expected auto, cpu, cuda or cuda:N, got 'gpu'"),
        ({"device": "cuda:"}, "device: expected auto, cpu, cuda or cuda:N, got 'cuda:'"),
        ({"task_weights": {"push": -1.0}}, "task_weights: 'push': expected 0 or more, got -1.0"),
        ({"task_weights": {"push": 2.0}, "balance_tasks": False}, "balance_tasks to be on"),
        ({"init": "somewhere", "policy": {"horizon": 8}}, r"none together with init.*\['horizon'\]"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(TrainingError, match=expected):
        TrainConfig(**options)


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(TrainingError, match=r"(?s)2 problems.*steps.*keep"):
        TrainConfig(steps=0, keep=0)


def test_options_survive_a_file(tmp_path: Path) -> None:
    import yaml

    config = TrainConfig(dataset=("a", "b"), task_weights={"push": 2.0}, policy={"image_crop_shape": [8, 8]})
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(config.to_mapping()))
    assert read_config(path) == config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps: many", "steps: expected an integer, got 'many'"),
        ("step: 5", "unknown option 'step'; valid options: .*steps"),
        ("mixed_precision: fp8", "mixed_precision: expected 'no' or 'bf16' or 'fp16', got 'fp8'"),
        ("- steps", "expected options as NAME: VALUE, got list"),
        ("{", "cannot read the options"),
    ],
)
def test_a_file_with_a_mistake(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=expected):
        read_config(path)


def test_a_resumed_run_keeps_the_options_that_decide_its_result() -> None:
    before = TrainConfig(steps=10)
    check_resumable(before, dataclasses.replace(before, steps=20, checkpoint_every=5, threads=1))
    with pytest.raises(TrainingError, match=r"(?s)may change only .*steps.*batch_size: expected 64 as when"):
        check_resumable(before, dataclasses.replace(before, batch_size=8, seed=3))


def test_every_option_has_a_help_text_and_a_heading() -> None:
    for option in dataclasses.fields(TrainConfig):
        assert option.metadata["help"] and option.metadata["group"], option.name
    assert config_from_mapping({}, "nowhere") == TrainConfig()

# SPDX-License-Identifier: Apache-2.0
"""The recipe's network for either objective, and the options of its last stage."""

import dataclasses
from pathlib import Path

import pytest
from tiny_demonstrations import tiny_demonstrations

from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.recipes import CubeTasksConfig
from dit_policy_ros.training.recipes import _cube_tasks as cube_tasks
from dit_policy_ros.training.trainer import RunFolder


def test_the_recipe_learns_by_either_objective() -> None:
    data = tiny_demonstrations()
    joints = ("a", "b", "c", "gripper")
    data = dataclasses.replace(
        data, state=data.action, state_names=joints, action_names=joints
    )  # actions are relative to the state
    checkpoints = set()
    for objective in ("diffusion", "flow_matching"):
        checkpoints.add(CubeTasksConfig(objective=objective).initial_checkpoint)
        config = cube_tasks.policy_config(data, objective)
        assert (config.objective, config.sampling_steps) == (objective, 10)
    assert len(checkpoints) == 2, "each objective has an initial checkpoint of its own"


def test_the_last_stage_starts_a_run_and_then_resumes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cube_tasks, "dataset_folders", lambda work: [work / "dataset_0"])
    runs: list[tuple[TrainConfig, bool]] = []

    def train(options: TrainConfig, folder: RunFolder, resume: bool) -> int:
        runs.append((options, resume))
        if not resume:
            folder.begin(options)
        return 0

    config = CubeTasksConfig(output=tmp_path / "run", work=tmp_path / "work", steps=5, device="cpu")
    assert cube_tasks.train_on_demonstrations(config, train) == 0
    assert cube_tasks.train_on_demonstrations(dataclasses.replace(config, steps=9), train) == 0
    (first, resumes_first), (second, resumes_second) = runs
    assert (resumes_first, resumes_second) == (False, True)
    assert first.dataset == (str(tmp_path / "work" / "dataset_0"),)
    assert first.init == str(tmp_path / "work" / "start") and first.vision_lr_multiplier == 0.0
    assert second == dataclasses.replace(first, steps=9)

# SPDX-License-Identifier: Apache-2.0
"""The whole product at a small scale: record a scripted operator, train a policy, evaluate the policy.

It checks that everything fits together, not that two demonstrations make a good policy.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed: datasets can be neither written nor read")

from dit_policy_ros.cli.train import main as train
from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.sim.robot import JOINTS

TASKS = ("touch the red cube with the left arm", "touch the blue cube with the right arm")


@pytest.mark.slow  # a minute; test_dataset.py, test_train.py and test_evaluate.py test the parts
def test_record_train_and_evaluate(
    tmp_path: Path, start_process: Callable, wait_for: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, run, found = tmp_path / "dataset", tmp_path / "run", tmp_path / "found"
    record = ["--output", root, "--demonstrations", "1", "--cameras", "top"]
    record += [part for task in TASKS for part in ("--task", task)]
    child = start_process(
        "dataset", "dit_policy_ros.cli.main", "dataset", "--logs", str(tmp_path / "logs"), *map(str, record)
    )
    wait_for(lambda: not child.alive, 200, "the demonstrations are recorded")
    assert child.process.returncode == 0, child.output()

    data = read_demonstrations(root)
    assert (
        data.tasks == TASKS
        and data.state_names == data.action_names == JOINTS
        and data.episode_index.max() == 1
    )
    for episode, (moving, resting) in enumerate(((slice(0, 6), slice(7, 13)), (slice(7, 13), slice(0, 6)))):
        action = data.action[data.episode_index == episode]
        travel = np.abs(action - action[0]).max(axis=0)
        assert travel[moving].max() > 0.2 > 0.05 > travel[resting].max(), "the named arm moved, the other not"

    # Frozen, the new vision encoder sees each image once, and 200 steps are quickly made.
    options = ["--steps", "200", "--batch-size", "4", "--vision-lr-multiplier", "0"]
    options += ["--use-flagged", "--device", "cpu"]
    assert train(["--dataset", str(root), "--output", str(run), *options]) == 0
    checkpoint = run / "checkpoints" / "last" / "pretrained_model"

    options = ["--checkpoint", checkpoint, "--episodes", "1", "--output", found, "--num-inference-steps", "2"]
    options += ["--parameter", "max_tracking_error:=10.0"]  # an untrained policy may run into the table
    options += ["--parameter", "ensemble.mode:=newest"]  # the node's file names another
    child = start_process("evaluate", "dit_policy_ros.cli.main", "evaluate", *map(str, options))
    wait_for(lambda: not child.alive, 200, "the policy is evaluated")
    assert child.process.returncode == 0, child.output()
    summary = json.loads((found / "summary.json").read_text())
    assert [task["instruction"] for task in summary["tasks"]] == list(TASKS), (
        "the tasks that it was trained on"
    )
    assert summary["episodes"] == 2 and summary["mode"] == "ros"
    used = summary["node_parameters"]
    assert (used["max_tracking_error"], used["ensemble.mode"]) == (10.0, "newest"), "what the node says"
    assert (used["num_inference_steps"], used["plan_horizon"]) == (2, 0.5)
    assert all(task["jerk"] > 0 for task in summary["tasks"]), "the policy moved the arms"

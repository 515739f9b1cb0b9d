# SPDX-License-Identifier: Apache-2.0
"""`dit_policy evaluate`: its command line, and an episode with the real nodes."""

import json
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
from small_robot import TASKS, tiny_checkpoint

from dit_policy_ros.cli.evaluate import main
from dit_policy_ros.sim.robot import JOINTS
from dit_policy_ros.sim.tasks import suite


@pytest.mark.slow
def test_the_real_nodes_run_an_episode(tmp_path: Path, start_process, wait_for) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint", joints=JOINTS)
    command = ["evaluate", "--checkpoint", checkpoint, "--episodes", "1", "--task", TASKS[0], "--seed", "7"]
    command += ["--output", tmp_path / "out", "--parameter", "max_tracking_error:=10.0"]
    command += ["--parameter", "ensemble.mode:=newest"]  # the node's file names another
    child = start_process("evaluate", "dit_policy_ros.cli.main", *map(str, command))
    wait_for(lambda: not child.alive, 150, "the evaluation ends by itself")
    assert child.process.returncode == 0
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    (task,) = found["tasks"]
    assert found["mode"] == "ros" and found["first_seed"] == 7
    assert task["instruction"] == TASKS[0] and task["episodes"] == 1
    assert task["jerk"] > 0, "the arms moved"
    used = found["node_parameters"]
    assert (used["max_tracking_error"], used["ensemble.mode"]) == (10.0, "newest"), "what the node says"
    assert (tmp_path / "out" / "logs" / "policy.log").read_text()


def test_results_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--actor", "still", "--episodes", "1", "--videos", "0", "--output", str(tmp_path)]
    for task in TASKS:
        arguments += ["--task", task]
    assert main(arguments) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "--actor still always runs in lock-step" in printed
    assert f"asked to {TASKS[0]}: 1 x (nothing)" in printed and "0 of 1" in printed
    assert f"Details: {tmp_path / 'summary.json'}" in printed
    found = json.loads((tmp_path / "summary.json").read_text())
    assert [task["instruction"] for task in found["tasks"]] == list(TASKS)


def test_every_task_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list-tasks"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "hand the" in printed and "done when" in printed and len(suite()) == 21


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--checkpoint", "nowhere"], "looked for a folder"),
        (["--actor", "operator", "--task", "juggle"], "knows no task 'juggle'"),
    ],
)
def test_a_mistake_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 1
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--episodes", "0"], "--episodes: expected at least 1, got 0"),
        (["--execute", "0"], "--execute: expected at least 1, got 0"),
        (["--execute", "4"], "--execute: it counts in lock-step only; add --lock-step"),
        (["--actor", "still", "--guidance-scale", "2"], "--guidance-scale: it is for a policy"),
        (["--videos", "-1"], "--videos: expected at least 0, got -1"),
        (["--lighting", "2"], "expected 0 to 1 of the light, got 2"),
        (["--tasks", TASKS[0], TASKS[1]], "--tasks was renamed; use --task TEXT, once for each task"),
        (["--sampling-steps", "5"], "--sampling-steps was renamed; use --num-inference-steps N"),
    ],
)
def test_options_that_cannot_be_used_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    with pytest.raises(SystemExit) as refusal:
        main(arguments)
    assert refusal.value.code == 2
    assert expected in capsys.readouterr().err

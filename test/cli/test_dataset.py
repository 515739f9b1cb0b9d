# SPDX-License-Identifier: Apache-2.0
"""`dit_policy dataset`: its command line. test_closed_loop.py records with it over ROS."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")

from dit_policy_ros.cli.dataset import main
from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.data.description import describe_dataset

TASKS = ("touch the red cube with the left arm", "touch the blue cube with the right arm")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--demonstrations", "0"], "--demonstrations: expected at least 1, got 0"),
        (["--cameras", "wrist"], "invalid choice: 'wrist'"),
        (["--speed", "0"], "--speed: expected 0.1 to 100 times real time, got 0"),
        (["--knocks", "-1"], "--knocks: expected 0 to 5 per second, got -1"),
        (["--aim-error", "0.06"], "--aim-error: expected 0 to 0.05 m, got 0.06"),
        (["--start-anywhere"], "--start-anywhere: only with --lock-step"),
        (["--camera-jitter", "0.2"], "expected 0 to 0.1 m, got 0.2"),
        (["--lighting", "2"], "expected 0 to 1 of the light, got 2"),
        (["--picture-every", "5"], "--picture-every: expected 1, or more with --lock-step, got 5"),
        (["--picture-every", "0", "--lock-step"], "--picture-every: expected at least 1, got 0"),
        (["--tasks", *TASKS], "--tasks was renamed; use --task TEXT, once for each task"),
    ],
)
def test_options_that_cannot_be_used_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    with pytest.raises(SystemExit) as refusal:
        main(["--output", str(tmp_path / "d"), *arguments])
    assert refusal.value.code == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def test_an_unknown_task_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output", str(tmp_path / "d"), "--task", "juggle"]) == 1
    assert "knows no task 'juggle'" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


@pytest.mark.slow
def test_an_output_that_is_no_dataset_is_refused_by_the_recorder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "diary.txt").write_text("mine")
    arguments = ["--output", str(folder), "--cameras", "top", "--logs", str(tmp_path / "logs")]
    assert main(arguments) == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert "the node recorder could not be configured" in shown and "not a LeRobot dataset" in shown
    assert (folder / "diary.txt").read_text() == "mine"


def test_each_task_is_recorded_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--lock-step", "--cameras", "top", "--demonstrations", "1", "--seed", "5"]
    arguments += ["--task", TASKS[0], "--task", TASKS[1], "--picture-every", "5", "--vectors", "effort"]
    assert main(["--output", str(tmp_path / "d"), *arguments]) == 0
    assert "2 demonstrations were added to" in " ".join(capsys.readouterr().out.split())
    data = read_demonstrations(tmp_path / "d", ("top",), (96, 128))
    assert data.tasks == TASKS and data.episode_index.max() == 1
    assert [vector.key for vector in describe_dataset(tmp_path / "d").vectors] == ["observation.effort"]

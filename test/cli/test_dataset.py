# SPDX-License-Identifier: Apache-2.0
"""`dit_policy dataset`: its refusals; test_closed_loop.py records with it."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from dit_policy_ros.cli.dataset import Demonstration, _table, main
from dit_policy_ros.sim.suite import Lift, suite


def test_mistakes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output", str(tmp_path / "d"), "--tasks", "juggle"]) == 1
    assert "knows no task 'juggle'" in capsys.readouterr().err
    for options in (["--demonstrations", "0"], ["--cameras", "wrist"]):
        with pytest.raises(SystemExit):
            main(["--output", str(tmp_path / "d"), *options])
    assert not (tmp_path / "d").exists()


def test_an_output_that_is_no_dataset_is_refused_by_the_recorder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "diary.txt").write_text("mine")
    arguments = ["--output", str(folder), "--cameras", "top", "--logs", str(tmp_path / "logs")]
    assert main(arguments) == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert "the node recorder could not be configured" in shown and "no LeRobot dataset" in shown
    assert (folder / "diary.txt").read_text() == "mine"


def test_the_table_counts_by_task() -> None:
    task = Lift("left", "red")
    made = [
        Demonstration(task, 150, 30.0, (), 0),
        Demonstration(task, 210, 30.0, ("slow camera",), 2),
    ]
    table = _table(suite(), made)
    assert table.row_count == 1
    cells = [next(iter(column.cells)) for column in table.columns]
    assert cells == [task.instruction, "2", "2", "6.0", "1"]

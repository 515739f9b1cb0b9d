# SPDX-License-Identifier: Apache-2.0
"""`dit_policy dataset`: its refusals; test_closed_loop.py records with it."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from dit_policy_ros.cli.dataset import _table, main
from dit_policy_ros.core.errors import SimulationError
from dit_policy_ros.data.dataset import failed_episodes, read_demonstrations
from dit_policy_ros.evaluation.demonstrations import Demonstration, until_kept
from dit_policy_ros.sim.tasks import Lift, suite


def test_mistakes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output", str(tmp_path / "d"), "--tasks", "juggle"]) == 1
    assert "knows no task 'juggle'" in capsys.readouterr().err
    for options in (
        *(["--demonstrations", "0"], ["--cameras", "wrist"], ["--speed", "0"]),
        *(["--knocks", "-1"], ["--start-anywhere"], ["--camera-jitter", "0.2"], ["--lighting", "2"]),
    ):
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
    assert "the node recorder could not be configured" in shown and "not a LeRobot dataset" in shown
    assert (folder / "diary.txt").read_text() == "mine"


def test_in_lock_step_the_same_seed_is_the_same_dataset(tmp_path: Path) -> None:
    asked = ["--lock-step", "--cameras", "top", "--demonstrations", "1", "--seed", "5"]
    asked += ["--tasks", "touch the red cube with the left arm"]
    read = []
    for name, more in (("one", []), ("two", []), ("rare", ["--picture-every", "5"])):
        assert main(["--output", str(tmp_path / name), *asked, *more]) == 0
        read.append(read_demonstrations(tmp_path / name, ("top",), (96, 128)))
    one, two, rare = read
    assert one.tasks == ("touch the red cube with the left arm",) and one.fps == 30.0
    assert np.array_equal(one.state, two.state) and np.array_equal(one.action, two.action)
    assert 30 < len(one.state) < 8 * 30, "it ends soon after success"
    led_astray = (one.state[1:] - one.action[:-1])[:, :6]
    assert 0.001 < np.abs(led_astray).mean() < 0.1, "the arms follow, a little off"
    assert failed_episodes(tmp_path / "one") == failed_episodes(tmp_path / "rare") == {}
    assert np.array_equal(one.state, rare.state) and np.array_equal(one.action, rare.action)
    assert one.flagged_images is not None and not one.flagged_images.any()
    assert rare.flagged_images is not None and rare.flagged is not None and not rare.flagged.any()
    assert np.array_equal(rare.flagged_images, np.arange(len(rare.state)) % 5 > 0)
    seen, shown = (data.images["top"][:25].astype(int) for data in (one, rare))
    assert np.abs(seen[::5] - shown[::5]).mean() < 2.0 and np.abs(shown[5:10] - shown[5]).mean() < 1.0


def test_arms_may_begin_anywhere_and_be_knocked_astray(tmp_path: Path) -> None:
    asked = ["--lock-step", "--cameras", "top", "--demonstrations", "4", "--seed", "5", "--disturbance", "0"]
    asked += ["--tasks", "touch the red cube with the left arm"]
    read = []
    for name, more in (("calm", []), ("wild", ["--start-anywhere", "--knocks", "2"])):
        assert main(["--output", str(tmp_path / name), *asked, *more]) == 0
        read.append(read_demonstrations(tmp_path / name, ("top",), (96, 128)))
    first = [np.unique(data.episode_index, return_index=True)[1] for data in read]  # (4,) rows each
    begins = [data.state[rows] for data, rows in zip(read, first, strict=True)]  # (4, 14) each
    elsewhere = np.abs(begins[1] - begins[0])[:, :6].max(axis=1) > 0.1  # (4,)
    assert elsewhere.any() and not elsewhere.all(), "the left arm often begins elsewhere, not always"
    np.testing.assert_allclose(begins[1][:, 7:13], begins[0][:, 7:13], atol=1e-3)
    astray = [
        np.abs(data.state[1:] - data.action[:-1])[np.diff(data.episode_index) == 0, 7:13].max()
        for data in read
    ]
    assert astray[1] > 3 * astray[0], "the other arm, which has nothing to do, is knocked as well"


def test_only_cameras_in_lock_step_may_look_less_often(capsys: pytest.CaptureFixture[str]) -> None:
    for asked in (["--picture-every", "5"], ["--picture-every", "0", "--lock-step"]):
        with pytest.raises(SystemExit):
            main(["--output", "nowhere", *asked])
        assert "--picture-every: expected 1, or more with --lock-step" in capsys.readouterr().err


def test_scenes_may_look_different_while_the_same_happens(tmp_path: Path) -> None:
    asked = ["--lock-step", "--cameras", "top", "--demonstrations", "1", "--seed", "5"]
    asked += ["--tasks", "touch the red cube with the left arm"]
    read = []
    for name, more in (("plain", []), ("varied", ["--camera-jitter", "0.02", "--lighting", "0.5"])):
        assert main(["--output", str(tmp_path / name), *asked, *more]) == 0
        read.append(read_demonstrations(tmp_path / name, ("top",), (96, 128)))
    plain, varied = read
    np.testing.assert_array_equal(plain.action, varied.action)
    difference = np.abs(plain.images["top"][0].astype(int) - varied.images["top"][0].astype(int)).mean()
    assert difference > 4.0, "beyond what encoding changes"


def test_what_fails_is_tried_again_in_another_scene_but_not_for_ever() -> None:
    red, blue = Lift("left", "red"), Lift("right", "blue")
    tried: list[tuple[str, int, int]] = []

    def attempt(task: Lift, seed: int, discarded: int) -> Demonstration | None:
        tried.append((task.colour, seed, discarded))
        return Demonstration(task, 9, 30.0, (), discarded) if seed in (5, 8) else None

    kept = until_kept([red, blue, red], 5, attempt)
    assert [next(kept).discarded, next(kept).discarded] == [0, 2]
    assert tried == [("red", 5, 0), ("blue", 6, 0), ("blue", 7, 1), ("blue", 8, 2)]
    with pytest.raises(SimulationError, match="10 demonstrations in a row failed: lift the red cube"):
        next(kept)


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

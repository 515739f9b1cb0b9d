# SPDX-License-Identifier: Apache-2.0
"""The table tells the truth, removing keeps flags with their frames, and nothing is removed by mistake."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")
from episodes import add, frame, load, make

from dit_policy_ros.cli.inspect import main
from dit_policy_ros.data.dataset import EpisodeRecord, failed_episodes, flagged_frames
from dit_policy_ros.data.dataset._episode_plot import sample_intervals
from dit_policy_ros.data.recording import EpisodeOutcome
from dit_policy_ros.data.recording._recovery import pending_episodes


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """Four episodes; the second failed, the last two have flagged frames."""
    root = tmp_path_factory.mktemp("recorded") / "dataset"
    writer = make(root)
    for episode in range(4):
        add(writer, episode % 3, 4 + episode, "pull" if episode == 3 else "push")
        for _ in range(episode // 2):
            writer.add_frame(**frame(0, 1), task="push", repeated=("wrist",))
        writer.save_episode(EpisodeOutcome(True, episode != 1, ("it shook",) if episode == 1 else ()))
    writer.finalize()
    return root


@pytest.fixture
def root(recorded: Path, tmp_path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "dataset"))


def test_the_table_and_the_tasks(root: Path, tmp_path, capsys) -> None:
    assert main([str(root), "--json", str(tmp_path / "out.json")]) == 0
    printed = capsys.readouterr().out
    assert "FAILED" in printed and "it shook" in printed
    assert "fewer than 50" in printed
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [row["frames"] for row in rows] == [4, 5, 7, 8]
    assert [row["tasks"] for row in rows] == [["push"]] * 3 + [["pull", "push"]]
    assert [row["record"]["passed"] for row in rows] == [True, False, True, True]
    assert rows[2]["record"]["repeated"] == {"wrist": [[6, 6]]}


def test_removed_episodes_take_their_flags_with_them(root: Path, capsys) -> None:
    before = {index: frames.tolist() for index, frames in flagged_frames(root).items()}
    assert before == {2: [6], 3: [7]}
    assert main([str(root), "--delete", "0,2"]) == 0
    assert "removed 2 of 4 episodes" in capsys.readouterr().out
    assert {index: frames.tolist() for index, frames in flagged_frames(root).items()} == {1: [7]}
    assert failed_episodes(root) == {0: ("it shook",)}
    dataset = load(root)
    assert dataset.num_episodes == 2
    np.testing.assert_allclose(dataset[5]["observation.state"], [0, 0, 0.5])
    assert dataset[dataset.num_frames - 1]["task"] == "push"
    kept = root.with_name("dataset.before_1")
    assert load(kept).num_episodes == 4
    writer = make(root)  # and the recorder goes on with it
    add(writer, 2, 3)
    assert writer.save_episode() == 2
    writer.finalize()
    assert load(root).num_episodes == 3


def test_failed_episodes_are_removed_when_asked(root: Path, capsys) -> None:
    assert main([str(root), "--delete-failed"]) == 0
    assert failed_episodes(root) == {}
    assert load(root).num_episodes == 3
    assert main([str(root), "--delete-failed"]) == 0
    assert "no episode failed its check" in capsys.readouterr().out


def test_the_picture_shows_every_episode(root: Path, tmp_path) -> None:
    from PIL import Image

    picture = tmp_path / "picture.png"
    assert main([str(root), "--picture", str(picture), "--episodes", "1-2"]) == 0
    image = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert image.shape[1] > image.shape[0] > 200
    reddish = (image[..., 0] > 200) & (image[..., 1] < 190) & (image[..., 2] < 190)
    assert reddish.sum() > 100  # the failed title and the flagged frame


def test_intervals_are_from_one_new_sample_to_the_next() -> None:
    record = EpisodeRecord(0, 8, repeated={"wrist": ((2, 3), (6, 6)), "top": ((7, 7),)})
    found = sample_intervals(record, 10.0)
    times, gaps = found["wrist"]  # new are frames 0, 1, 4, 5, 7
    np.testing.assert_allclose(times, [0.1, 0.4, 0.5, 0.7])
    np.testing.assert_allclose(gaps, [0.1, 0.3, 0.1, 0.2])
    assert found["top"][1].max() == pytest.approx(0.1)
    assert set(found) == {"wrist", "top"}


def test_what_a_crash_left_is_recovered(root: Path, capsys) -> None:
    writer = make(root)
    add(writer, 0, 6)
    writer.finalize()
    assert len(pending_episodes(root)) == 1
    assert main([str(root), "--delete", "0"]) == 1
    assert "its journal contains episodes; recover them first" in capsys.readouterr().err
    assert main([str(root), "--recover", "keep"]) == 0
    assert "episodes recovered: 1" in capsys.readouterr().out
    assert load(root).num_episodes == 5
    assert "interrupted" in failed_episodes(root)[4][0]


def test_what_lies_in_the_journal_is_shown_with_how_to_go_on(root: Path, capsys) -> None:
    writer = make(root)
    add(writer, 0, 6)
    writer.finalize()
    (folder,) = pending_episodes(root)
    assert main([str(root)]) == 0
    shown = capsys.readouterr().out
    assert "1 episodes were interrupted" in shown and "--recover keep (or discard)" in shown
    (folder / "header.json").write_text("")
    assert main([str(root), "--recover", "keep"]) == 0
    shown = capsys.readouterr().out
    assert "in quarantine" in shown and "header.json of the episode cannot be read" in shown
    assert f"dit_policy inspect {root} --quarantine retry" in shown
    assert main([str(root), "--quarantine", "retry"]) == 0
    assert "episodes added from quarantine: 0" in capsys.readouterr().out
    assert main([str(root), "--quarantine", "delete"]) == 0
    shown = capsys.readouterr().out
    assert "episodes deleted from quarantine: 1" in shown and "in quarantine, not lost" not in shown


MISTAKES = {
    "no dataset": (["nowhere"], "which does not exist"),
    "no such episode": (["ROOT", "--delete", "1,9"], "expected episodes from 0 to 3, got 9"),
    "all of them": (["ROOT", "--delete", "0-3"], "this would remove all 4 episodes"),
    "no numbers": (
        ["ROOT", "--delete", "one"],
        "expected numbers and ranges like 0-5,12, up to 9999999, got 'one'",
    ),
    "none chosen": (["ROOT", "--episodes", "8"], "no episode of --episodes 8 exists"),
    "no picture": (["ROOT", "--picture", "/nowhere/x.png"], "cannot be written"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_change_nothing(recorded: Path, capsys, case: str) -> None:
    arguments, message = MISTAKES[case]
    assert main([str(recorded) if argument == "ROOT" else argument for argument in arguments]) == 1
    assert message in capsys.readouterr().err
    assert load(recorded).num_episodes == 4
    assert {path.name for path in recorded.parent.iterdir()} == {"dataset"}


def test_a_dataset_that_is_being_recorded_is_left_alone(root: Path, capsys) -> None:
    writer = make(root)
    assert main([str(root), "--delete", "0"]) == 1
    assert "being written by process" in capsys.readouterr().err
    writer.finalize()


@pytest.mark.parametrize("arguments", [[], ["one", "--dataset", "two"]])
def test_exactly_one_dataset_is_expected(capsys, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        main(arguments)
    assert refusal.value.code == 2
    assert "expected one dataset: DATASET, or --dataset DATASET" in capsys.readouterr().err


def test_the_dataset_can_be_an_option(recorded: Path, capsys) -> None:
    assert main(["--dataset", str(recorded)]) == 0
    assert "FAILED" in capsys.readouterr().out

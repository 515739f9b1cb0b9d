# SPDX-License-Identifier: Apache-2.0
"""Other labels for episodes that are in the dataset already."""

from pathlib import Path

import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")
from episodes import add, extend_by_lerobot, make

from dit_policy_ros.cli import inspect
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import SIDE_TABLE, episode_records, failed_by_operator
from dit_policy_ros.data.recording import EpisodeOutcome, relabel_episodes


@pytest.fixture
def root(tmp_path) -> Path:
    """Three episodes, labelled success, failure and not at all; the second failed its check."""
    folder = tmp_path / "dataset"
    writer = make(folder)
    for episode, (label, passed) in enumerate(((True, True), (False, False), (None, True))):
        add(writer, episode, frames=4)
        reasons = () if passed else ("top is frozen",)
        writer.save_episode(EpisodeOutcome(success=label, passed=passed, reasons=reasons))
    writer.finalize()
    return folder


def labels(root: Path) -> dict[int, bool | None]:
    return {index: record.success for index, record in episode_records(root).items()}


def test_only_the_named_labels_change_and_the_check_stays(root) -> None:
    before = episode_records(root)
    relabel_episodes(root, {1: True, 2: False})
    assert labels(root) == {0: True, 1: True, 2: False}
    after = episode_records(root)
    assert not after[1].passed and after[1].reasons == ("top is frozen",) and after[0] == before[0]
    assert failed_by_operator(root) == {2}
    assert not (root / "journal").exists(), "no lock is left"


def test_the_label_is_in_lerobots_metadata_too(root) -> None:
    relabel_episodes(root, {0: False})
    (root / SIDE_TABLE).unlink()  # as after an edit by LeRobot's own tools
    assert labels(root) == {0: False, 1: False, 2: None}
    extend_by_lerobot(root, 3, 4, "touch the cube")  # LeRobot still reads and extends the dataset
    relabel_episodes(root, {3: True})  # an episode of another program gets a record
    assert labels(root)[3] is True


def test_an_unknown_episode_changes_nothing(root) -> None:
    before = (root / SIDE_TABLE).read_text()
    with pytest.raises(DatasetError, match="expected episodes from 0 to 2, got 7"):
        relabel_episodes(root, {0: False, 7: True})
    assert (root / SIDE_TABLE).read_text() == before


def test_while_a_recorder_has_the_dataset_it_is_refused(root) -> None:
    writer = make(root)
    try:
        with pytest.raises(DatasetError, match="is being written by"):
            relabel_episodes(root, {0: False})
    finally:
        writer.finalize()
    assert labels(root)[0] is True


def test_inspect_labels_and_refuses_two_labels(root, capsys) -> None:
    assert inspect.main([str(root), "--failure", "0", "--success", "1-2"]) == 0
    assert labels(root) == {0: False, 1: True, 2: True}
    assert inspect.main([str(root), "--failure", "0", "--success", "0"]) != 0
    assert "episode 0: both --success and --failure" in capsys.readouterr().err

# SPDX-License-Identifier: Apache-2.0
"""Labels and checks stay with their episodes whatever LeRobot's tools do, and a lost side table is said."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")
from episodes import SPEC, add, extend_by_lerobot, frame, level, load, make

from dit_policy_ros.cli import inspect
from dit_policy_ros.data.dataset import (
    SIDE_TABLE,
    episode_records,
    failed_by_operator,
    failed_episodes,
    flagged_frames,
    read_demonstrations,
    record_notices,
)
from dit_policy_ros.data.lerobot_calls import quiet_lerobot
from dit_policy_ros.data.recording import EpisodeOutcome, remove_episodes

GOOD, FAILURE, REJECTED, FLAGGED, UNLABELLED = range(5)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five episodes: good, labelled a failure, failed its check, with flagged frames, and without a label."""
    root = tmp_path_factory.mktemp("recorded") / "set"
    writer = make(root)
    for episode in range(5):
        add(writer, episode % 3, 4)
        if episode == FLAGGED:
            writer.add_frame(**frame(0, 1), task="touch the cube", repeated=("wrist",))
        label = {FAILURE: False, UNLABELLED: None}.get(episode, True)
        writer.save_episode(
            EpisodeOutcome(label, episode != REJECTED, ("it shook",) if episode == REJECTED else ())
        )
    writer.finalize()
    return root


@pytest.fixture
def root(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "set"))


def known(root: Path) -> list[tuple[bool | None, bool, bool]]:
    """Label, check, and whether frames are flagged, of each episode."""
    records = episode_records(root)
    return [(each.success, each.passed, bool(len(each.flagged()))) for _, each in sorted(records.items())]


ALL = [
    (True, True, False),
    (False, True, False),
    (True, False, False),
    (True, True, True),
    (None, True, False),
]


def test_nothing_is_lost_while_the_side_table_is_there(root: Path) -> None:
    assert known(root) == ALL and record_notices(root) == ()
    assert failed_by_operator(root) == {FAILURE} and failed_episodes(root) == {REJECTED: ("it shook",)}
    assert flagged_frames(root)[FLAGGED].tolist() == [4]


def test_labels_and_checks_survive_that_lerobot_deletes_episodes(root: Path, tmp_path: Path) -> None:
    from lerobot.datasets import delete_episodes

    with quiet_lerobot():
        delete_episodes(load(root), [GOOD], output_dir=tmp_path / "edited", repo_id="local/edited")
    edited = tmp_path / "edited"
    assert not (edited / SIDE_TABLE).exists() and known(edited) == ALL[1:]
    assert failed_by_operator(edited) == {0} and set(failed_episodes(edited)) == {1}
    assert flagged_frames(edited, ("top",))[2].tolist() == [0, 1, 2, 3, 4], "which one it was is not known"
    (notice,) = record_notices(edited)
    assert "is lost for 4 episodes" in notice and "episodes 2 are left out whole" in notice
    data = read_demonstrations(edited, ("top",))
    assert np.flatnonzero(data.failed).tolist() == [0, 1, 2, 3]
    assert np.unique(data.episode_index[data.flagged | data.flagged_images]).tolist() == [1, 2]


def test_labels_and_checks_survive_that_lerobot_splits_and_merges(root: Path, tmp_path: Path) -> None:
    from lerobot.datasets.dataset_tools import merge_datasets, split_dataset

    with quiet_lerobot():
        parts = split_dataset(load(root), {"a": [0, 1, 2], "b": [3, 4]}, output_dir=tmp_path / "parts")
        merged = tmp_path / "merged"
        merge_datasets([parts["b"], parts["a"]], output_repo_id="local/m", output_dir=merged)
    assert known(parts["a"].root) == ALL[:3] and known(parts["b"].root) == ALL[3:]
    assert known(merged) == ALL[3:] + ALL[:3]


def test_episodes_that_lerobot_appends_have_no_record_and_can_be_deleted(root: Path) -> None:
    extend_by_lerobot(root, episode=0, frames=3, task="touch the cube")
    assert known(root) == ALL and load(root).num_episodes == 6
    assert record_notices(root) == ()
    remove_episodes(root, [GOOD])
    assert known(root) == ALL[1:] and load(root).num_episodes == 5
    assert [path.name for path in root.parent.iterdir() if path.name.endswith(".plain")] == []


def test_a_dataset_merged_with_one_of_another_program_can_still_be_edited(root: Path, tmp_path: Path) -> None:
    from lerobot.datasets.dataset_tools import merge_datasets

    other = tmp_path / "other"
    writer = make(other)
    add(writer, 0, 4)
    writer.save_episode()
    writer.finalize()
    strip(other)
    merged = tmp_path / "merged"
    with quiet_lerobot():
        merge_datasets([load(other), load(root)], output_repo_id="local/m", output_dir=merged)
    assert known(merged) == ALL and sorted(episode_records(merged)) == [1, 2, 3, 4, 5]
    remove_episodes(merged, [0, 1])
    assert known(merged) == ALL[1:], "the table is written anew from what was known"


def test_a_dataset_that_lerobot_began_gets_no_columns(root: Path, tmp_path: Path) -> None:
    """LeRobot cannot load a dataset whose later files have columns that the first one lacks."""
    strip(root)
    writer = make(root, SPEC)
    add(writer, 0, 4)
    writer.save_episode(EpisodeOutcome(False))
    writer.finalize()
    assert load(root).num_episodes == 6 and failed_by_operator(root) == {FAILURE, 5}


def strip(root: Path) -> None:
    """Removes the columns from a dataset, as a version before them wrote it."""
    import pyarrow.parquet as parquet

    for path in (root / "meta" / "episodes").glob("*/*.parquet"):
        table = parquet.read_table(path)
        parquet.write_table(table.select([n for n in table.column_names if "recorder" not in n]), path)


def test_inspect_counts_good_failed_and_rejected(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect.main([str(root)]) == 0
    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if "touch the cube" in line and "fewer" in line)
    assert [cell.strip() for cell in row.split("│")[2:5]] == ["3", "1", "1"]
    assert "is lost" not in printed
    (root / SIDE_TABLE).unlink()
    assert inspect.main([str(root)]) == 0
    assert "is lost for 5 episodes" in capsys.readouterr().out


def test_pixel_counts_of_earlier_versions_are_corrected_when_a_dataset_is_extended(root: Path) -> None:
    """LeRobot weighs a dataset's image statistics by their count when it merges."""
    path = root / "meta" / "stats.json"
    stats = json.loads(path.read_text())
    assert stats["observation.images.top"]["count"] == [21]
    stats["observation.images.top"]["count"] = [21 * 48 * 64]
    path.write_text(json.dumps(stats))
    before = stats["observation.images.top"]["mean"][0][0][0]
    writer = make(root)
    for _ in range(21):
        writer.add_frame(**frame(3, 10), task="touch the cube")
    writer.save_episode()
    writer.finalize()
    after = json.loads(path.read_text())["observation.images.top"]
    assert after["count"] == [42]
    assert after["mean"][0][0][0] == pytest.approx((before + level(3, 10) / 255) / 2, abs=0.02)

# SPDX-License-Identifier: Apache-2.0
"""A commit is interrupted anywhere, LeRobot appends an episode, the recorder goes on: all episodes exist."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")

from episodes import add, assert_holds, extend_by_lerobot, load, make

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import INFO_FILE, read_records
from dit_policy_ros.data.recording import EpisodeOutcome, pending_episodes

OURS, THEIRS, FIRST = (5, "push"), (6, "pull"), (4, "touch the cube")


def interrupted_at(root: Path, move: int) -> bool:
    """Saves a second episode; its commit ends before this move. Returns whether it has ended so early."""
    writer = make(root)
    add(writer, 0, *FIRST)
    writer.save_episode()
    add(writer, 1, *OURS)
    real, moves = os.replace, 0

    def failing(source, target):
        nonlocal moves
        if "stage" in Path(source).parts:
            if moves == move:
                raise OSError(errno.EIO, "the power fails")
            moves += 1
        real(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", failing)
        writer.save_episode(EpisodeOutcome(success=True, passed=False, reasons=("ours",)))
        ended = bool(pending_episodes(root))
        if ended:
            with pytest.raises(DatasetError):
                writer.finalize()
        else:
            writer.finalize()
    return ended


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory) -> Iterator[list[Path]]:
    """Datasets whose commit was interrupted: before the first move, before the second, and so on."""
    roots = []
    for move in range(30):
        root = tmp_path_factory.mktemp(f"move_{move}") / "dataset"
        if not interrupted_at(root, move):
            break
        roots.append(root)
    assert len(roots) >= 8  # data, two videos, tasks, side table, statistics, metadata row, info.json
    yield roots


@pytest.mark.slow
def test_lerobot_appends_after_an_interrupted_commit(interrupted: list[Path], tmp_path) -> None:
    for move, made in enumerate(interrupted):
        root = Path(shutil.copytree(made, tmp_path / f"{move}"))
        extend_by_lerobot(root, 2, *THEIRS)
        writer = make(root)
        assert not writer.quarantined and not pending_episodes(root), move
        add(writer, 3, 3)
        assert writer.save_episode() == 3
        writer.finalize()
        dataset = load(root)
        tasks = [dataset.meta.episodes[i]["tasks"] for i in range(4)]
        at = tasks.index(["push"])  # before LeRobot's if LeRobot has seen it, behind it otherwise
        assert tasks == [
            ["touch the cube"],
            *([["push"], ["pull"]] if at == 1 else [["pull"], ["push"]]),
            tasks[3],
        ]
        marks, frames = ((1, OURS), (2, THEIRS)) if at == 1 else ((2, THEIRS), (1, OURS)), []
        for mark, (count, task) in ((0, FIRST), *marks, (3, (3, "touch the cube"))):
            frames += [(mark, index, task) for index in range(count)]
        assert dataset.num_frames == len(frames)
        episodes = np.repeat(range(4), dataset.meta.episodes["length"])
        for row, (mark, index, task) in enumerate(frames):
            item = dataset[row]
            np.testing.assert_allclose(item["observation.state"], [mark, index, 0.5])
            assert (item["task"], int(item["episode_index"]), int(item["index"])) == (
                task,
                episodes[row],
                row,
            )
            level = item["observation.images.top"].numpy().mean() * 255
            assert abs(level - (20 + 60 * mark + 4 * index)) < 3.0, (move, row)
        records = read_records(root)
        assert records[at].reasons == ("ours",) and set(records) == {0, at, 3}
        assert dataset.meta.stats["action"]["count"].tolist() == [len(frames)], move


def test_a_commit_that_another_program_did_not_disturb_goes_on(interrupted: list[Path], tmp_path) -> None:
    for move, made in enumerate(interrupted):
        root = Path(shutil.copytree(made, tmp_path / f"{move}"))
        with pytest.MonkeyPatch.context() as patch:  # nothing is written again
            patch.setattr("dit_policy_ros.data.recording._commit.stage_episode", None)
            make(root).finalize()
        assert_holds(root, {0: FIRST, 1: OURS})
        assert read_records(root)[1].reasons == ("ours",)


def test_an_episode_that_was_added_is_not_added_again(tmp_path, monkeypatch) -> None:
    """The process ends after the last move; LeRobot appends two episodes before the next start."""
    root = tmp_path / "dataset"
    writer = make(root)
    with monkeypatch.context() as ended:
        ended.setattr("dit_policy_ros.data.recording._commit.remove_durably", lambda folder: None)
        add(writer, 0, *FIRST)
        writer.save_episode()
    writer.finalize()
    assert len(pending_episodes(root)) == 1 and (root / INFO_FILE).exists()
    for episode in (1, 2):
        extend_by_lerobot(root, episode, *THEIRS)
    make(root).finalize()
    assert_holds(root, {0: FIRST, 1: THEIRS, 2: THEIRS})
    assert not pending_episodes(root)


@pytest.mark.parametrize("move", [0, 3, -1])
def test_a_damaged_plan_blocks_nothing(interrupted: list[Path], tmp_path, move: int) -> None:
    root = Path(shutil.copytree(interrupted[move], tmp_path / "dataset"))
    (pending_episodes(root)[0] / "plan.json").write_bytes(bytes(64))
    make(root).finalize()
    assert_holds(root, {0: FIRST, 1: OURS})
    assert read_records(root)[1].reasons == ("ours",)

# SPDX-License-Identifier: Apache-2.0
"""An episode that cannot be added to the dataset is set aside with its reason, and blocks no other."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mostly_slow import mostly_slow

pytest.importorskip("lerobot", reason="lerobot is not installed")

from episodes import CAMERAS, add, assert_holds, load, make

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import INFO_FILE, DatasetSpec, read_records
from dit_policy_ros.data.recording import (
    DatasetWriter,
    QuarantineAction,
    Recover,
    pending_episodes,
    quarantined_episodes,
    recover_offline,
    remove_episodes,
    resolve_quarantine,
)
from dit_policy_ros.data.recording._journal_format import FRAMES_FILE, HEADER_FILE, LABEL_FILE, PLAN_FILE

TASK = "touch the cube"


def edit_json(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "header is not JSON": (lambda f: (f / HEADER_FILE).write_text("{"), "cannot be read"),
    "header is gone": (lambda f: (f / HEADER_FILE).unlink(), "header.json"),
    "label is not JSON": (lambda f: (f / LABEL_FILE).write_bytes(bytes(80)), "cannot be read"),
    "video is empty": (lambda f: (f / "top.mkv").write_bytes(b""), "whole frames in its files, got 0"),
    "video is gone": (lambda f: (f / "wrist.mkv").unlink(), "whole frames in its files, got 0"),
    "frames are gone": (lambda f: (f / FRAMES_FILE).unlink(), "whole frames in its files, got 0"),
    "another contract": (lambda f: edit_json(f / HEADER_FILE, robot_type="other"), "robot_type"),
    "no permission": (lambda f: ((f / "top.mkv").unlink(), (f / "top.mkv").mkdir()), "frames"),
}


def two_saved(root: Path, monkeypatch, before: int = 1) -> Path:
    """A dataset with `before` episodes, and two more that were saved but not committed; returns the first."""
    writer = make(root)
    for episode in range(before):
        add(writer, episode, 3)
        writer.save_episode()
    with monkeypatch.context() as ended:
        ended.setattr(writer._committer, "add", lambda folder: None)  # as if the process ended here
        for episode, frames in ((before, 4), (before + 1, 5)):
            add(writer, episode, frames)
            writer.save_episode()
    writer.finalize()
    first, _ = pending_episodes(root)
    return first


@pytest.mark.parametrize("damage", mostly_slow(DAMAGES, 3))
def test_a_damaged_episode_blocks_no_other(tmp_path, monkeypatch, caplog, damage: str) -> None:
    root = tmp_path / "dataset"
    spoil, reason = DAMAGES[damage]
    spoil(two_saved(root, monkeypatch))
    writer = make(root)
    (episode,) = writer.quarantined
    assert reason in episode.reason
    assert f"is now in {episode.folder}, not lost: {episode.reason}" in caplog.text
    assert writer.next_index == 2
    add(writer, 0, 6)
    assert writer.save_episode() == 2
    writer.finalize()
    assert load(root).meta.total_episodes == 3
    assert [len(load(root).meta.episodes[i]["tasks"]) for i in range(3)] == [1, 1, 1]
    assert load(root).meta.episodes["length"] == [3, 5, 6]
    assert quarantined_episodes(root) == (episode,)
    assert (episode.folder / "reason.txt").read_text() == episode.reason


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("before", [0, 1])
def test_keep_and_discard_work_with_a_damaged_episode(tmp_path, monkeypatch, keep: bool, before: int) -> None:
    root = tmp_path / "dataset"
    folder = two_saved(root, monkeypatch, before)
    whole = (folder / HEADER_FILE).read_bytes()
    (folder / HEADER_FILE).write_bytes(b"")
    assert recover_offline(root, keep) == 1
    assert load(root).num_episodes == before + 1
    (episode,) = quarantined_episodes(root)
    assert resolve_quarantine(root, QuarantineAction.RETRY) == 0  # still damaged
    assert len(quarantined_episodes(root)) == 1
    (episode.folder / HEADER_FILE).write_bytes(whole)
    assert resolve_quarantine(root, QuarantineAction.RETRY) == 1
    assert load(root).meta.episodes["length"] == [*[3] * before, 5, 4]
    assert {path.name for path in root.iterdir()} == {"data", "meta", "videos"}


def test_what_is_in_quarantine_is_deleted_only_when_asked(tmp_path, monkeypatch) -> None:
    root = tmp_path / "dataset"
    (two_saved(root, monkeypatch) / HEADER_FILE).write_bytes(b"")
    make(root, recover=Recover.DISCARD).finalize()
    assert recover_offline(root, keep=False) == 0
    remove_episodes(root, [0])
    assert len(quarantined_episodes(root)) == 1
    assert load(root).num_episodes == 1
    assert resolve_quarantine(root, QuarantineAction.DELETE) == 1
    assert {path.name for path in root.iterdir()} == {"data", "meta", "videos"}


def test_an_interrupted_episode_that_cannot_be_read_blocks_nothing(tmp_path) -> None:
    root = tmp_path / "dataset"
    writer = make(root)
    for episode in range(2):  # the first loses its header, the second its video
        add(writer, episode, 35)
        folder = writer._journal.folder
        writer._journal.abandon()
        writer._journal = None
        (folder / HEADER_FILE if episode == 0 else (folder / "top.mkv")).write_bytes(b"")
    writer.finalize()
    writer = make(root, recover=Recover.KEEP)
    reasons = [episode.reason for episode in writer.quarantined]
    assert "interrupted" in reasons[0] and "cannot be read" in reasons[0]
    assert "interrupted" in reasons[1] and "0 whole frames" in reasons[1] and "35" in reasons[1]
    add(writer, 0, 3)
    assert writer.save_episode() == 0
    writer.finalize()
    assert_holds(root, {0: (3, TASK)})


def test_a_damaged_dataset_puts_no_episode_into_quarantine(tmp_path, monkeypatch) -> None:
    """All would fail, and none is at fault."""
    root = tmp_path / "dataset"
    two_saved(root, monkeypatch)
    stats = root / "meta" / "stats.json"
    whole = stats.read_bytes()
    stats.write_text("{")
    with pytest.raises(DatasetError, match="safe there"):
        make(root)
    assert len(pending_episodes(root)) == 2 and not quarantined_episodes(root)
    stats.write_bytes(whole)
    make(root).finalize()
    assert_holds(root, {0: (3, TASK), 1: (4, TASK), 2: (5, TASK)})


def test_an_error_while_an_episode_is_staged_sets_it_aside_and_the_next_is_added(
    tmp_path, monkeypatch
) -> None:
    """Whatever the error: here one that no check foresees."""
    root = tmp_path / "dataset"
    writer = make(root, background=True)
    from dit_policy_ros.data.recording.staging import _stage

    real = _stage.stage_videos

    def failing(episode) -> None:
        if episode.frames == 4:
            raise ZeroDivisionError("nobody foresaw this")
        real(episode)

    monkeypatch.setattr(_stage, "stage_videos", failing)
    for episode, frames in enumerate((3, 4, 5)):
        add(writer, 0 if episode == 0 else 1, frames)
        writer.save_episode()
    writer.finalize()
    (episode,) = writer.quarantined
    assert "ZeroDivisionError('nobody foresaw this')" in episode.reason
    assert_holds(root, {0: (3, TASK), 1: (5, TASK)})


def test_a_contract_with_one_joint_is_committed(tmp_path) -> None:
    root = tmp_path / "dataset"
    writer = DatasetWriter(root, DatasetSpec(30.0, CAMERAS, ("lift",), "toy"))
    for episode in range(2):
        for index in range(4):
            images = {c.name: np.full((c.height, c.width, 3), 40, np.uint8) for c in CAMERAS}
            writer.add_frame(images, np.array([index / 8]), np.array([index / 4]), TASK)
        assert writer.save_episode() == episode
    writer.finalize()
    assert not writer.quarantined and writer.commit_failure is None
    dataset = load(root)
    assert dataset.num_frames == 8
    np.testing.assert_allclose(dataset[5]["observation.state"], 1 / 8)
    np.testing.assert_allclose(dataset[5]["action"], 1 / 4)
    assert dataset.meta.stats["action"]["max"].tolist() == [0.75]


def test_a_frame_rate_written_as_a_float_can_be_extended(tmp_path) -> None:
    """LeRobot's conversion from v2.1 writes 30.0."""
    root = tmp_path / "dataset"
    writer = make(root)
    add(writer, 0, 3)
    writer.save_episode()
    writer.finalize()
    edit_json(root / INFO_FILE, fps=30.0)
    writer = make(root)
    add(writer, 1, 4)
    assert writer.save_episode() == 1
    writer.finalize()
    assert_holds(root, {0: (3, TASK), 1: (4, TASK)})


SPOILT_LABELS = {
    "frames": (-1, "4", 3.5, True),
    "passed": ("false", None, 1),
    "success": (3, "no"),
    "reasons": ("bad", [1]),
    "figures": ([1], {"rate": float("nan")}),
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in SPOILT_LABELS.items() for v in values])
def test_a_label_with_a_spoilt_value_is_set_aside_and_spoils_no_table(
    tmp_path, monkeypatch, name: str, value
) -> None:
    root = tmp_path / "dataset"
    edit_json(two_saved(root, monkeypatch) / LABEL_FILE, **{name: value})
    writer = make(root)
    (episode,) = writer.quarantined
    assert "label.json of the episode cannot be read" in episode.reason
    writer.finalize()
    assert [record.frames for record in read_records(root).values()] == [3, 5]


@pytest.mark.parametrize("levels", [[[0] * 256] * 3, [[1] * 3] * 3, "text"])
def test_a_spoilt_summary_of_the_images_is_made_again(tmp_path, monkeypatch, levels) -> None:
    root = tmp_path / "dataset"
    summary = {"frames": 4, "frozen": 0, "clipped": 0, "levels": levels}
    edit_json(two_saved(root, monkeypatch) / LABEL_FILE, summaries={"top": summary})
    writer = make(root)
    assert not writer.quarantined
    writer.finalize()
    mean = load(root).meta.stats["observation.images.top"]["mean"]
    assert np.isfinite(mean).all() and mean.min() > 0.05


def test_a_header_without_the_streams_whose_flags_it_explains_is_refused(tmp_path, monkeypatch) -> None:
    root = tmp_path / "dataset"
    edit_json(two_saved(root, monkeypatch) / HEADER_FILE, streams=["top"])
    writer = make(root)
    (episode,) = writer.quarantined
    assert "streams: action, joint_states, wrist are not among" in episode.reason
    writer.finalize()


PLANS_THAT_ARE_NONE = (
    bytes(64),
    b"null",
    b"[]",
    b'{"episode_index": 1}',
    b'{"files": [], "episode_index": "1"}',
)


@pytest.mark.parametrize("plan", PLANS_THAT_ARE_NONE)
def test_an_episode_with_a_damaged_plan_is_not_taken_for_added(tmp_path, monkeypatch, plan: bytes) -> None:
    root = tmp_path / "dataset"
    (two_saved(root, monkeypatch) / PLAN_FILE).write_bytes(plan)
    writer = make(root)
    (episode,) = writer.quarantined
    assert "nobody knows whether the episode is in the dataset" in episode.reason
    assert writer.next_index == 2, "the next one follows"
    writer.finalize()
    (episode.folder / PLAN_FILE).unlink()
    assert resolve_quarantine(root, QuarantineAction.RETRY) == 1
    assert sorted(record.frames for record in read_records(root).values()) == [3, 4, 5]


@pytest.mark.parametrize("files", [[], ["../../elsewhere"]])
def test_a_plan_whose_stage_is_lost_is_made_again(tmp_path, monkeypatch, files: list[str]) -> None:
    root = tmp_path / "dataset"
    plan = {"episode_index": 1, "info": "x", "files": files}
    (two_saved(root, monkeypatch) / PLAN_FILE).write_text(json.dumps(plan))
    writer = make(root)
    writer.finalize()
    kept = [record.frames for record in read_records(root).values()]
    assert kept == [3, 4, 5] if not files else len(writer.quarantined) == 1

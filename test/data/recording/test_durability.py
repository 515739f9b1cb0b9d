# SPDX-License-Identifier: Apache-2.0
"""No crash loses a saved episode, wherever the process ends; an interrupted episode can be recovered."""

import errno
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")

from episodes import CAMERAS, JOINTS, add, assert_holds, load, make
from fork_server import ForkServer, fork_server
from waiting import wait_for

from dit_policy_ros.core.atomic_files import remove_durably
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import INFO_FILE, read_records
from dit_policy_ros.data.recording import EpisodeOutcome, Recover, _commit, _journal_writer, pending_episodes
from dit_policy_ros.data.recording._journal_format import LABEL_FILE, PLAN_FILE, STAGING_FOLDER
from dit_policy_ros.data.video import SYNC_INTERVAL, VideoSettings

TASK = "touch the cube"


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with fork_server() as server:
        yield server


def test_an_episode_is_on_the_disk_before_its_save_returns(tmp_path, monkeypatch) -> None:
    """Syncs the contents, then the names, then label.json and its name; only then hands it to the commit."""
    writer = make(tmp_path / "dataset", background=True)
    add(writer, 0, 3)
    writer.end_episode()
    folder = writer._journal.folder
    events: list[tuple[str, str]] = []
    real = {name: getattr(os, name) for name in ("fsync", "replace")}

    def synced(handle):
        events.append(("sync", Path(os.readlink(f"/proc/self/fd/{handle}")).name))
        real["fsync"](handle)

    def replaced(source, target):
        events.append(("name", Path(target).name))
        real["replace"](source, target)

    # Replaces the commit, whose syncs would be in the list too.
    monkeypatch.setattr(writer._committer, "add", lambda folder: events.append(("commit", folder.name)))
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    writer.save_episode()
    monkeypatch.undo()
    contents = {("sync", "frames.bin"), ("sync", "top.mkv"), ("sync", "wrist.mkv")}
    assert set(events[:3]) == contents
    assert events[3:] == [
        ("sync", folder.name),
        ("sync", f".{LABEL_FILE}.unfinished-{os.getpid()}"),
        ("name", LABEL_FILE),
        ("sync", folder.name),
        ("commit", folder.name),
    ]
    writer.finalize()


def test_an_episode_that_goes_on_reaches_the_disk_meanwhile(tmp_path, monkeypatch) -> None:
    """So that an interrupted one can be kept up to its last second."""
    writer, synced, real = make(tmp_path / "dataset"), [], os.fdatasync
    add(writer, 0, 1)

    def noted(handle):
        synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        real(handle)

    monkeypatch.setattr(os, "fdatasync", noted)
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + SYNC_INTERVAL)
    monkeypatch.setattr(_journal_writer, "time", later)
    add(writer, 0, 1)
    assert "frames.bin" in synced
    writer.discard_episode()
    writer.finalize()


def test_each_step_of_a_commit_is_on_the_disk_before_the_next_one(tmp_path, monkeypatch) -> None:
    """After a loss of power a commit can be completed: a kill alone does not show a sync that is missing."""
    root, journals = tmp_path / "dataset", []
    writer = make(root, background=True)
    add(writer, 0, 3)
    monkeypatch.setattr(writer._committer, "add", journals.append)
    writer.save_episode()
    (journal,) = journals
    events: list[tuple[str, Path, Path]] = []  # what, where to, where from
    real = {name: getattr(os, name) for name in ("fsync", "replace")}

    def synced(handle):
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        events.append(("sync", path, path))
        real["fsync"](handle)

    def replaced(source, target):
        events.append(("name", Path(target), Path(source)))
        real["replace"](source, target)

    def removed(folder):
        events.append(("remove", folder, folder))
        remove_durably(folder)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(_commit, "remove_durably", removed)
    _commit.commit_episode(root, journal)
    monkeypatch.undo()

    def first(what: str, path: Path, after: int = -1) -> int:
        return next(i for i, event in enumerate(events) if i > after and event[:2] == (what, path))

    stage = journal / STAGING_FOLDER
    moves = {
        i: target
        for i, (what, target, source) in enumerate(events)
        if what == "name" and source.is_relative_to(stage)
    }
    plan, begin, end = first("name", journal / PLAN_FILE), min(moves), max(moves)
    assert len(moves) >= 5 and moves[end] == root / INFO_FILE, "the move that adds the episode is the last"
    for index in moves:
        assert first("sync", events[index][2]) < plan, "a staged file is there before the plan names it"
    assert first("sync", events[plan][2]) < plan < first("sync", journal, plan) < begin, "so is the plan"
    gone = first("remove", journal)
    for target in moves.values():
        assert first("sync", target.parent, end) < gone, "the journal goes last"
    early = {i: target for i, target in moves.items() if target.suffix == ".mp4"}
    assert early, "a video is moved"
    for target in early.values():
        assert first("sync", target.parent, max(early)) < end, "and is there before an episode names it"
    writer.finalize()


KILL_AT = """
import os, signal
from pathlib import Path
from episodes import add, make

steps = int(arguments[1])
def killing(real):
    def call(*arguments, **more):
        global steps
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **more)
    return call

writer = make(Path(arguments[0]))
add(writer, 0, 4)
writer.save_episode()
add(writer, 1, 5)
for name in ("fsync", "replace", "mkdir", "rmdir"):
    setattr(os, name, killing(getattr(os, name)))
writer.save_episode()
"""


@pytest.mark.slow
def test_a_kill_at_every_step_of_saving_and_committing(server, tmp_path) -> None:
    check_kills(server, tmp_path, stride=1)


def test_a_kill_at_some_steps_of_saving_and_committing(server, tmp_path) -> None:
    check_kills(server, tmp_path, stride=16)


def check_kills(server: ForkServer, folder: Path, stride: int) -> None:
    both = {0: (4, TASK), 1: (5, TASK)}
    killed = commits = 0
    for step in range(0, 1000, stride):
        root = folder / f"{step}"
        outcome = server.run(KILL_AT, folder / "output", str(root), str(step))
        if outcome.code == 0:
            break
        assert outcome.signal == signal.SIGKILL, outcome
        committed = load(root).num_episodes == 2  # LeRobot can read the dataset before recovery
        saved = committed or any((path / LABEL_FILE).exists() for path in pending_episodes(root))
        writer = make(root, recover=Recover.KEEP)
        assert writer.next_index == 2
        writer.finalize()
        assert_holds(root, both)
        assert read_records(root)[1].recovered is not saved
        killed, commits = killed + 1, commits + committed
    assert_holds(root, both)
    assert killed >= 40 // stride
    assert 0 < commits < killed


def test_a_commit_that_was_interrupted_twice_is_completed(tmp_path, monkeypatch) -> None:
    """As if recovery were killed too: it repeats no move that was made, and makes the others."""
    root = tmp_path / "dataset"
    writer = make(root, background=True)
    add(writer, 0, 4)
    moves = 0
    real = os.replace

    def failing(source, target):
        nonlocal moves
        if "stage" in Path(source).parts:
            moves += 1
            if moves in (3, 6, 8):
                raise OSError(errno.EIO, "pulled out")
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)
    assert writer.save_episode() == 0
    with pytest.raises(DatasetError, match="safe there"):
        writer.finalize()
    with pytest.raises(DatasetError, match="pulled out"):
        make(root)
    make(root).finalize()
    assert_holds(root, {0: (4, TASK)})
    assert {path.name for path in root.iterdir()} == {"data", "meta", "videos"}


def test_a_commit_starts_again_if_the_dataset_was_changed_meanwhile(tmp_path, monkeypatch) -> None:
    root = tmp_path / "dataset"
    writer = make(root)
    add(writer, 0, 4)
    writer.save_episode()
    real = os.replace

    def failing(source, target):
        if Path(source).name == "info.json":
            raise OSError(errno.EIO, "pulled out")
        real(source, target)

    add(writer, 1, 5)
    monkeypatch.setattr(os, "replace", failing)
    writer.save_episode()
    monkeypatch.undo()
    assert "pulled out" in writer.commit_failure
    plan = pending_episodes(root)[0] / "plan.json"
    plan.write_text(plan.read_text().replace('"episode_index": 1', '"episode_index": 7'))
    writer.finalize()
    assert_holds(root, {0: (4, TASK), 1: (5, TASK)})


INTERRUPTED = """
import os, signal, time
from pathlib import Path
from episodes import add, frame, make

writer = make(Path(arguments[0]))
add(writer, 0, 3)
writer.save_episode()
for index in range(60):
    task, repeated = "push" if index < 50 else "pull", ("wrist",) if index == 7 else ()
    writer.add_frame(**frame(1, index % 30), task=task, stamp_ns=index * 33_333_333, repeated=repeated)
    time.sleep(1 / 60)  # the rate of a camera; it decides how many frames a kill can lose
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def interrupted(server, tmp_path_factory) -> Path:
    """A dataset with one saved episode, and one that was interrupted by a kill at its 60th frame."""
    folder = tmp_path_factory.mktemp("killed")
    outcome = server.run(INTERRUPTED, folder / "output", str(folder / "dataset"))
    assert outcome.signal == signal.SIGKILL, outcome
    return folder / "dataset"


@pytest.fixture
def copy(interrupted: Path, tmp_path) -> Path:
    return Path(shutil.copytree(interrupted, tmp_path / "dataset"))


@pytest.mark.slow
def test_an_interrupted_episode_can_be_kept(copy: Path) -> None:
    make(copy, recover=Recover.KEEP).finalize()
    dataset = load(copy)
    assert dataset.num_episodes == 2
    frames = dataset.num_frames - 3
    assert 60 - 6 <= frames <= 60  # a fifth of a second
    record = read_records(copy)[1]
    assert (record.recovered, record.passed, record.frames) == (True, False, frames)
    assert record.repeated == {"wrist": ((7, 7),)}
    items = [dataset[3 + index] for index in range(frames)]
    assert [item["task"] for item in items] == ["push"] * 50 + ["pull"] * (frames - 50)
    for index, item in enumerate(items):
        np.testing.assert_allclose(item["observation.state"], [1, index % 30, 0.5])
        level = item["observation.images.wrist"].numpy().mean() * 255
        assert abs(level - (80 + 4 * (index % 30))) < 3.0


@pytest.mark.slow
def test_an_interrupted_episode_can_be_discarded(copy: Path) -> None:
    writer = make(copy, recover=Recover.DISCARD)
    assert writer.next_index == 1
    writer.finalize()
    assert_holds(copy, {0: (3, TASK)})
    assert {path.name for path in copy.iterdir()} == {"data", "meta", "videos"}


def test_an_interrupted_episode_waits_for_a_decision(copy: Path) -> None:
    writer = make(copy)
    (episode,) = writer.interrupted
    assert (episode.task, episode.seconds) == ("pull", pytest.approx(episode.frames / 30))
    with pytest.raises(DatasetError, match=r"must be kept or discarded first: 'pull', \d+ frames"):
        writer.begin_episode()
    assert writer.resolve_interrupted(keep=True) == 1
    assert writer.interrupted == ()
    add(writer, 2, 4)
    assert writer.save_episode() == 2
    writer.finalize()
    assert load(copy).num_episodes == 3


def test_an_interrupted_episode_without_a_decision_is_still_there_at_the_next_start(copy: Path) -> None:
    make(copy).finalize()
    writer = make(copy)
    assert len(writer.interrupted) == 1
    writer.finalize()


FILLING = """
import resource, signal
from pathlib import Path
import numpy as np
from episodes import CAMERAS, add, make
from dit_policy_ros.core.errors import DatasetError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = make(Path(arguments[0]))
add(writer, 0, 3)
writer.save_episode()
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
rng = np.random.default_rng(0)
try:
    for index in range(2000):
        images = {c.name: rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in CAMERAS}
        writer.add_frame(images, np.full(3, index), np.zeros(3), "fill the disk")
except DatasetError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(writer.save_episode())
writer.finalize()
"""


def test_the_frames_before_the_disk_is_full_are_kept(server, tmp_path) -> None:
    """A limit on the size of files makes the encoders fail like a full disk does."""
    root = tmp_path / "dataset"
    outcome = server.run(FILLING, tmp_path / "output", str(root))
    assert outcome.code == 0, outcome
    assert "encoding into" in outcome.output
    assert outcome.output.splitlines()[-1] == "1"
    dataset = load(root)
    assert dataset.num_episodes == 2
    assert dataset.num_frames > 3 + 5
    last = dataset[dataset.num_frames - 1]
    assert last["observation.state"][0] == dataset.num_frames - 3 - 1
    assert read_records(root)[1].frames == dataset.num_frames - 3


def test_a_full_disk_while_saving_loses_nothing(tmp_path, monkeypatch) -> None:
    root = tmp_path / "dataset"
    writer = make(root)
    add(writer, 0, 3)
    writer.save_episode()
    add(writer, 1, 4)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(DatasetError, match=r"could not be extended: .*No space left.*MB free"):
            writer.save_episode()
    assert_holds(root, {0: (3, TASK)})
    assert writer.save_episode() == 1  # there is space again
    assert_holds(root, {0: (3, TASK), 1: (4, TASK)})


def test_frames_after_a_failed_write_are_refused(tmp_path, monkeypatch) -> None:
    writer = make(tmp_path / "dataset")
    add(writer, 0, 4)
    real = os.write

    def full(handle, content):
        return real(handle, content[:10])

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        with pytest.raises(DatasetError, match="written in part"):
            add(writer, 0, 1)
    with pytest.raises(DatasetError, match="takes no more frames"):
        add(writer, 0, 1)
    writer.end_episode()
    assert writer.save_episode() == 0
    assert_holds(tmp_path / "dataset", {0: (4, TASK)})


def test_a_commit_that_fails_in_the_background_is_reported_and_tried_again(tmp_path, monkeypatch) -> None:
    root = tmp_path / "dataset"
    writer = make(root, background=True)
    add(writer, 0, 3)
    with monkeypatch.context() as disk:
        disk.setattr(
            "dit_policy_ros.data.recording._committer.commit_episode", raising(PermissionError("read-only"))
        )
        assert writer.save_episode() == 0
        add(writer, 1, 4)
        assert writer.next_index == 1
        wait_for(lambda: writer.commit_failure, 10.0, "the failure is reported")
        assert "read-only" in writer.commit_failure and "safe there" in writer.commit_failure
        assert writer.pending_commits == 1
    assert writer.save_episode() == 1
    writer.finalize()
    assert_holds(root, {0: (3, TASK), 1: (4, TASK)})


def raising(error: Exception):
    def fail(*_, **__):
        raise error

    return fail


def test_an_encoder_that_does_not_work_is_refused_at_the_start(tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"video.codec: expected one of: auto, h264.*got 'mpeg7'"):
        make(tmp_path / "dataset", video=VideoSettings(codec="mpeg7"))
    with pytest.raises(DatasetError, match=r"video.codec 'h264' does not work here"):
        make(tmp_path / "dataset", video=VideoSettings(preset="warp"))
    assert not (tmp_path / "dataset").exists()


def test_two_writers_of_one_dataset_are_an_error(tmp_path) -> None:
    writer = make(tmp_path / "dataset")
    with pytest.raises(DatasetError, match=f"being written by process {os.getpid()} on .*only one recorder"):
        make(tmp_path / "dataset")
    writer.finalize()
    make(tmp_path / "dataset").finalize()


def test_label_check_and_repeated_samples_are_in_the_side_table(tmp_path) -> None:
    root = tmp_path / "dataset"
    writer = make(root)
    add(writer, 0, 3)
    writer.add_frame(**FRAME, task=TASK, stamp_ns=12, repeated=("top", "action"))
    ended = writer.end_episode()
    assert {name: one.frames for name, one in ended.cameras.items()} == {"top": 4, "wrist": 4}
    outcome = EpisodeOutcome(success=True, passed=False, reasons=("too dark",), figures={"fps": 29.0})
    writer.save_episode(outcome)
    record = read_records(root)[0]
    assert (record.success, record.passed, record.reasons) == (True, False, ("too dark",))
    assert record.repeated == {"top": ((3, 3),), "action": ((3, 3),)}
    assert record.figures == {"fps": 29.0}
    writer.finalize()


FRAME = {
    "images": {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in CAMERAS},
    "state": np.zeros(len(JOINTS)),
    "action": np.zeros(len(JOINTS)),
}

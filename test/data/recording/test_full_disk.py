# SPDX-License-Identifier: Apache-2.0
"""On a disk that is full, what is answered as saved is in the files, and nothing is saved in silence."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from mostly_slow import mostly_slow

pytest.importorskip("lerobot", reason="lerobot is not installed")

from episodes import CAMERAS, add, assert_holds, load, make
from small_disk import SmallDisk, small_disk

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import read_records
from dit_policy_ros.data.recording import DatasetWriter, EpisodeOutcome, Recover, pending_episodes
from dit_policy_ros.data.video._track import EncodedTrack

TASK = "touch the cube"


@pytest.fixture
def disk(tmp_path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 1024) as disk:
        yield disk


def add_noise(writer: DatasetWriter, frames: int) -> None:
    """Frames that no codec makes small; the state of each is its number."""
    rng = np.random.default_rng(0)
    for index in range(frames):
        images = {c.name: rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in CAMERAS}
        writer.add_frame(images, np.full(3, index), np.zeros(3), TASK)


def test_a_small_disk_that_is_full(disk: SmallDisk) -> None:
    root = disk.path / "dataset"
    writer = make(root)
    add(writer, 0, 3)
    writer.save_episode()
    with pytest.raises(DatasetError):
        add_noise(writer, 2000)
    with pytest.raises(DatasetError):
        writer.save_episode()
        writer.finalize()
    assert_holds(root, {0: (3, TASK)})
    disk.resize(8192)
    writer.finalize()
    writer = make(root, recover=Recover.KEEP)
    assert writer.next_index == 2
    writer.finalize()
    assert load(root).num_episodes == 2


@pytest.mark.parametrize("space", mostly_slow(range(8, 88, 8), 4))  # [KiB]; the episode needs about 90
def test_what_is_answered_as_saved_on_a_full_disk_is_in_the_files(disk: SmallDisk, space: int) -> None:
    """The disk becomes full while images wait for the encoder; the operator frees space and saves again."""
    root = disk.path / "dataset"
    writer = make(root)
    add(writer, 0, 3)
    writer.save_episode()
    writer.begin_episode()
    disk.fill(leave=space * 1024)
    try:
        add_noise(writer, 30)
    except DatasetError as error:
        assert "No space left" in str(error)
    ended = writer.end_episode()
    assert ended.frames < 30
    if ended.frames < 2:
        cause = "(camera|No space left)"  # the encoder's, or of the folder that was to be made
        with pytest.raises(DatasetError, match=f"at least 2 frames, this one has {ended.frames}.*{cause}"):
            writer.save_episode()
        writer.discard_episode()
        writer.finalize()
        assert_holds(root, {0: (3, TASK)})
        return
    try:
        index = writer.save_episode(EpisodeOutcome(success=True))
    except DatasetError:  # no space for the label either
        disk.empty()
        index = writer.save_episode(EpisodeOutcome(success=True))
    assert index == 1
    disk.empty()
    disk.resize(8192)
    writer.finalize()
    record = read_records(root)[1]
    assert (record.frames, record.passed, record.success) == (ended.frames, False, True)
    assert f"ended early, at frame {ended.frames}: camera" in record.reasons[0]
    dataset = load(root)
    assert dataset.num_frames == 3 + ended.frames
    for number in range(ended.frames):
        assert dataset[3 + number]["observation.state"][0] == number


def test_frames_that_wait_for_an_encoder_that_fails_are_not_counted(tmp_path, monkeypatch) -> None:
    """Any failure, of one camera: the episode has as many frames as both cameras have images."""
    everything_waits, images = threading.Event(), 0
    real = EncodedTrack.add

    def failing(self: EncodedTrack, image: np.ndarray) -> np.ndarray:
        nonlocal images
        if image.shape[0] == 32:  # the wrist camera
            images += 1
            if images == 10:
                assert everything_waits.wait(30.0)
                raise RuntimeError("the encoder broke")
        return real(self, image)

    root = tmp_path / "dataset"
    writer = make(root)
    with monkeypatch.context() as broken:
        broken.setattr(EncodedTrack, "add", failing)
        add(writer, 0, 20)
        everything_waits.set()
        ended = writer.end_episode()
    assert ended.frames == 9
    assert "camera wrist" in ended.failure and "the encoder broke" in ended.failure
    assert "9 of 20 frames are in the files" in ended.failure
    assert writer.save_episode(EpisodeOutcome(success=True)) == 0
    add(writer, 1, 4)
    assert writer.save_episode(EpisodeOutcome(success=True)) == 1
    writer.finalize()
    records = read_records(root)
    assert (records[0].frames, records[0].passed, records[1].passed) == (9, False, True)
    assert "ended early, at frame 9: camera wrist" in records[0].reasons[0]
    assert_holds(root, {0: (9, TASK), 1: (4, TASK)})
    row = pq.read_table(root / "meta" / "episodes" / "chunk-000" / "file-000.parquet").to_pylist()[0]
    brightest = np.max(row["stats/observation.images.top/max"])  # of the images that are kept
    assert brightest == pytest.approx((20 + 4 * 8) / 255, abs=0.02)


def test_a_video_that_lost_frames_after_the_save_is_committed_as_failed(tmp_path, monkeypatch) -> None:
    """The label is not trusted: what the files contain is added, and the side table says what is missing."""
    root = tmp_path / "dataset"
    writer = make(root)
    monkeypatch.setattr(writer._committer, "add", lambda folder: None)  # as if the process ended here
    add_noise(writer, 8)
    writer.save_episode(EpisodeOutcome(success=True))
    writer.finalize()
    (folder,) = pending_episodes(root)
    video = folder / "top.mkv"
    whole = video.read_bytes()
    video.write_bytes(whole[: len(whole) // 2])
    make(root).finalize()
    record = read_records(root)[0]
    assert 2 <= record.frames < 8 and not record.passed
    assert f"only {record.frames} of the 8 saved frames are in the files" in record.reasons[0]
    assert load(root).num_frames == record.frames


def test_a_cut_video_has_only_whole_packets(tmp_path) -> None:
    """Wherever a file breaks off, the packets that count are those of the whole file, byte for byte."""
    from dit_policy_ros.data.video import CameraEncoder, VideoSettings, count_frames
    from dit_policy_ros.data.video._recorded_video import _complete_packets, _open

    path = tmp_path / "whole.mkv"
    encoder = CameraEncoder(path, CAMERAS[0], 30, VideoSettings().with_working_codec())
    rng = np.random.default_rng(0)
    for _ in range(12):
        encoder.put(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), True)
    encoder.finish()

    def packets(path: Path) -> list[bytes]:
        with _open(path) as source:
            return [bytes(packet) for packet in _complete_packets(source)]

    whole, content, counts = packets(path), path.read_bytes(), set()
    cut = tmp_path / "cut.mkv"
    for size in range(0, len(content), 61):
        cut.write_bytes(content[:size])
        count = count_frames(cut)
        counts.add(count)
        assert count == 0 or packets(cut) == whole[:count]
    assert counts == set(range(13))

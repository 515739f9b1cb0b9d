# SPDX-License-Identifier: Apache-2.0
"""The reader reads what the writer wrote, and reports what is not a dataset."""

import json
import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_dataset import write_tiny_dataset
from torch.nn import functional

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import DatasetSpec, Demonstrations, FrameStore, read_demonstrations
from dit_policy_ros.data.dataset import _reader as reader
from dit_policy_ros.data.recording import DatasetWriter
from dit_policy_ros.data.video import CameraImages, resize_images

LENGTHS = (5, 9, 4)
TASKS = ("push", "pull", "push")
SHAPE = (48, 64)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip(
        "lerobot", reason="lerobot is not installed: datasets can be neither written nor read"
    )
    folder = tmp_path_factory.mktemp("data") / "set"
    cameras = tuple(Camera(name, f"/{name}/image_raw", *SHAPE, max_age=0.5) for name in ("top", "wrist"))
    joints = ("left_1", "left_2", "left_gripper")
    writer = DatasetWriter(folder, DatasetSpec(30.0, cameras, joints, "test"))
    for episode, (length, task) in enumerate(zip(LENGTHS, TASKS, strict=True)):
        for frame in range(length):
            state = np.array([episode, frame, episode + frame], np.float64)
            images = {"top": picture(episode, frame), "wrist": picture(episode, frame)[:, ::-1]}
            writer.add_frame(images, state, -state, task)
        writer.save_episode()
    writer.finalize()
    return folder


def picture(episode: int, frame: int) -> np.ndarray:
    """Dark on the left, bright on the right; the brightness encodes episode and frame."""
    image = np.zeros((*SHAPE, 3), np.uint8)
    image[:, SHAPE[1] // 2 :] = 60 + 50 * episode + 8 * frame
    return image


@pytest.fixture(scope="module")
def data(root: Path) -> Demonstrations:
    return read_demonstrations(root)


def test_frames_are_in_order_with_their_vectors_and_images(data: Demonstrations) -> None:
    episodes = np.repeat(np.arange(3), LENGTHS)
    frames = np.concatenate([np.arange(length) for length in LENGTHS])
    assert data.episode_index.tolist() == episodes.tolist()
    assert [data.tasks[i] for i in data.task_index] == [TASKS[e] for e in episodes]
    state = np.stack((episodes, frames, episodes + frames), axis=1)
    np.testing.assert_array_equal(data.state, state.astype(np.float32))
    np.testing.assert_array_equal(data.action, -state.astype(np.float32))
    right, left = data.images["top"][:, 24, 50, 1], data.images["wrist"][:, 24, 14, 1]
    expected = 60 + 50 * episodes + 8 * frames
    assert np.abs(right.astype(int) - expected).max() <= 3, "neighbouring frames differ by 8"
    assert np.abs(left.astype(int) - expected).max() <= 3
    assert data.images["top"][:, 24, 10].max() < 20


def test_the_metadata_of_the_dataset(data: Demonstrations) -> None:
    assert data.fps == 30.0
    assert data.state_names == data.action_names == ("left_1", "left_2", "left_gripper")
    assert data.image_shapes == {"top": SHAPE, "wrist": SHAPE}
    np.testing.assert_allclose(data.stats["observation.state"]["max"], data.state.max(0))
    np.testing.assert_allclose(data.stats["action"]["mean"], data.action.mean(0), atol=1e-5)
    assert data.stats["observation.images.top"]["std"].shape == (3, 1, 1)
    first, last = data.episode_bounds()
    assert first.tolist() == [0] * 5 + [5] * 9 + [14] * 4
    assert last.tolist() == [4] * 5 + [13] * 9 + [17] * 4


def test_images_are_resized_while_reading(root: Path, data: Demonstrations) -> None:
    seen: list[tuple[int, int]] = []
    small = read_demonstrations(root, ("wrist",), (24, 32), lambda done, total: seen.append((done, total)))
    assert set(small.images) == {"wrist"} and small.images["wrist"].shape == (18, 24, 32, 3)
    assert small.image_shapes == {"wrist": SHAPE}
    np.testing.assert_array_equal(small.images["wrist"], resize_images(data.images["wrist"], (24, 32)))
    assert seen[-1] == (18, 18)


def test_images_are_resized_as_the_policy_does_it() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 60, 80, 3), dtype=np.uint8)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32)
    exact = functional.interpolate(pixels, (36, 48), mode="bilinear", align_corners=False, antialias=True)
    reduced = resize_images(images, (36, 48))
    assert reduced.shape == (3, 36, 48, 3) and reduced.dtype == np.uint8
    assert np.abs(reduced - exact.permute(0, 2, 3, 1).numpy()).max() <= 1.0
    assert resize_images(images, (60, 80)) is images


def test_a_folder_that_is_not_a_dataset_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"looked for .*meta/info.json, which does not exist"):
        read_demonstrations(tmp_path)
    with pytest.raises(DatasetError, match="no images of camera left, right; present: top, wrist"):
        read_demonstrations(root, ("left", "top", "right"))


def test_several_datasets_are_read_as_one(tmp_path: Path) -> None:
    one = write_tiny_dataset(tmp_path / "one", episodes=2, length=5, seed=0)
    two = write_tiny_dataset(
        tmp_path / "two", episodes=3, length=4, seed=1, tasks=("fly", "touch the red cube with the left arm")
    )
    both = read_demonstrations([one, two])
    apart = [read_demonstrations(root) for root in (one, two)]
    assert both.episode_index.tolist() == np.repeat(np.arange(5), [5, 5, 4, 4, 4]).tolist()
    np.testing.assert_array_equal(both.action, np.concatenate([data.action for data in apart]))
    np.testing.assert_array_equal(both.images["cam0"], np.concatenate([d.images["cam0"] for d in apart]))
    assert both.tasks == (*apart[0].tasks, "fly"), "an instruction of both datasets is one task"
    expected = [data.tasks[i] for data in apart for i in data.task_index]
    assert [both.tasks[i] for i in both.task_index] == expected
    assert both.locate(12)[1:] == (0, 2) and "two" in both.locate(12)[0]
    low, high = both.stats["action"]["min"], both.stats["action"]["max"]
    np.testing.assert_allclose(low, both.action.min(0), rtol=1e-5)
    np.testing.assert_allclose(high, both.action.max(0), rtol=1e-5)
    np.testing.assert_allclose(both.stats["action"]["mean"], both.action.mean(0), atol=1e-5)
    np.testing.assert_allclose(both.stats["action"]["std"], both.action.std(0), atol=1e-5)


def test_datasets_with_different_contracts_are_refused(tmp_path: Path) -> None:
    one = write_tiny_dataset(tmp_path / "one", episodes=1)
    other = write_tiny_dataset(tmp_path / "other", episodes=1, joints=("a", "c", "b"))
    expected = (
        r"(?s)does not fit .*one.*\(2 problems in .*other.*action names.*'a', 'b', 'c', 'd'.*'a', 'c', 'b'"
    )
    with pytest.raises(DatasetError, match=expected):
        read_demonstrations([one, other])
    with pytest.raises(DatasetError, match="expected at least one folder"):
        read_demonstrations([])


def test_a_frame_store_decodes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_tiny_dataset(tmp_path / "set", episodes=1, length=5)
    kept = FrameStore(tmp_path / "frames")
    first = read_demonstrations(root, size=(12, 16), store=kept)

    def never(*arguments: object) -> None:
        raise AssertionError("decoded a second time")

    monkeypatch.setattr(CameraImages, "batches", never)
    second = read_demonstrations(root, size=(12, 16), store=kept)
    np.testing.assert_array_equal(first.images["cam0"], second.images["cam0"])
    with pytest.raises(AssertionError):
        read_demonstrations(root, size=(6, 8), store=kept)
    (root / "meta" / "info.json").touch()  # as if another episode had been recorded
    with pytest.raises(AssertionError):
        read_demonstrations(root, size=(12, 16), store=kept)


def test_frames_that_the_recorder_flagged_are_flagged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_tiny_dataset(tmp_path / "set", episodes=3, length=5)

    def repeated(root: Path, streams: Collection[str]) -> dict[int, np.ndarray]:
        return {1: np.array([0, 3])} if "joint_states" in streams else {0: np.array([2])}

    monkeypatch.setattr(reader, "flagged_frames", repeated)
    monkeypatch.setattr(reader, "failed_episodes", lambda root: {2: ("frozen camera",)})
    data = read_demonstrations(root)
    assert data.flagged is not None and data.flagged_images is not None
    assert np.flatnonzero(data.flagged).tolist() == [5, 8, 10, 11, 12, 13, 14]
    assert np.flatnonzero(data.flagged_images).tolist() == [2]


def test_images_that_are_not_kept_are_decoded_on_request(tmp_path: Path) -> None:
    roots = [
        write_tiny_dataset(tmp_path / name, episodes=2, length=70, seed=n) for n, name in enumerate("ab")
    ]
    kept = read_demonstrations(roots, size=(12, 16))
    data = read_demonstrations(roots, size=(12, 16), keep_images=False)
    images, video = kept.images["cam0"], data.videos["cam0"]
    assert not data.images and not kept.videos
    assert video.shape == images.shape and len(video) == len(data.state) == 280
    wanted = np.zeros(len(video), bool)
    wanted[[0, 5, 69, 70, 139, 140, 200, 279]] = True
    for chosen, given in ((wanted, wanted), (np.ones(280, bool), None)):
        rows, parts = zip(*video.batches(given), strict=True)
        assert np.concatenate(rows).tolist() == np.flatnonzero(chosen).tolist()
        np.testing.assert_array_equal(np.concatenate(parts), images[chosen])


def test_the_error_names_a_video_that_ends_early(tmp_path: Path) -> None:
    long, short = (write_tiny_dataset(tmp_path / str(n), episodes=1, length=n) for n in (9, 5))
    video, other = (read_demonstrations(root, keep_images=False).videos["cam0"] for root in (long, short))
    file, shorter = (
        each.metas[0].root / each.metas[0].get_video_file_path(0, "observation.images.cam0")
        for each in (video, other)
    )
    file.write_bytes(shorter.read_bytes())
    with pytest.raises(DatasetError, match=r"mp4 has no frame of .*cam0 at .*dit_policy inspect --delete"):
        list(video.batches())
    file.write_bytes(shorter.read_bytes()[:200])
    with pytest.raises(DatasetError, match=str(long)):
        list(video.batches())


def test_a_dataset_without_actions_or_statistics_is_refused(tmp_path: Path) -> None:
    root = write_tiny_dataset(tmp_path / "set", episodes=1, length=5)
    info = json.loads((root / "meta" / "info.json").read_text())
    del info["features"]["action"]
    (root / "meta" / "info.json").write_text(json.dumps(info))
    with pytest.raises(DatasetError, match=r"expected observation\.state and action, missing: action"):
        read_demonstrations(root)
    whole = write_tiny_dataset(tmp_path / "whole", episodes=1, length=5)
    stats = json.loads((whole / "meta" / "stats.json").read_text())
    del stats["observation.state"]
    (whole / "meta" / "stats.json").write_text(json.dumps(stats))
    with pytest.raises(DatasetError, match=r"stats.json lacks observation.state"):
        read_demonstrations(whole)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (["a", "b", "c"], r"action.max: expected numbers, got"),
        ([1.0, 2.0], r"action.max: expected 3 numbers, got an array of shape \(2,\)"),
        (5.0, r"action.max: expected 3 numbers, got an array of shape"),
        ({"x": 1}, r"meta/stats.json: action.max|cannot be read"),
    ],
)
def test_a_statistic_that_fits_no_vector_is_named(
    root: Path, tmp_path: Path, value: object, said: str
) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "set"))
    stats = json.loads((copy / "meta" / "stats.json").read_text())
    stats["action"]["max"] = value
    (copy / "meta" / "stats.json").write_text(json.dumps(stats))
    with pytest.raises(DatasetError, match=said):
        read_demonstrations(copy, cameras=())


@pytest.mark.parametrize("text", ["[1]", "5", "null"])
def test_statistics_that_are_none_are_refused(root: Path, tmp_path: Path, text: str) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "set"))
    (copy / "meta" / "stats.json").write_text(text)
    with pytest.raises(DatasetError, match=r"cannot be read|stats.json lacks"):
        read_demonstrations(copy, cameras=())

# SPDX-License-Identifier: Apache-2.0
"""What the writer wrote, the reader reads; what is no dataset is named."""

from pathlib import Path

import numpy as np
import pytest

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.demonstrations import Demonstrations
from dit_policy_ros.data.reader import read_demonstrations, reduce_images
from dit_policy_ros.data.writer import DatasetWriter

LENGTHS = (5, 9, 4)
TASKS = ("push", "pull", "push")
SHAPE = (48, 64)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip(
        "lerobot", reason="lerobot is not installed: datasets can be neither written nor read"
    )
    folder = tmp_path_factory.mktemp("data") / "set"
    cameras = [Camera(name, f"/{name}/image_raw", *SHAPE, max_age=0.5) for name in ("top", "wrist")]
    writer = DatasetWriter(
        folder, 30.0, cameras, ("left_1", "left_2", "left_gripper"), "test", finalize_each=False
    )
    for episode, (length, task) in enumerate(zip(LENGTHS, TASKS, strict=True)):
        for frame in range(length):
            state = np.array([episode, frame, episode + frame], np.float64)
            images = {"top": picture(episode, frame), "wrist": picture(episode, frame)[:, ::-1]}
            writer.add_frame(images, state, -state, task)
        writer.save_episode()
    writer.finalize()
    return folder


def picture(episode: int, frame: int) -> np.ndarray:
    """Dark on the left, bright on the right, the level says which frame it is."""
    image = np.zeros((*SHAPE, 3), np.uint8)
    image[:, SHAPE[1] // 2 :] = 60 + 50 * episode + 8 * frame
    return image


@pytest.fixture(scope="module")
def data(root: Path) -> Demonstrations:
    return read_demonstrations(root)


def test_every_frame_is_where_it_belongs(data: Demonstrations) -> None:
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


def test_what_the_dataset_says_about_itself(data: Demonstrations) -> None:
    assert data.fps == 30.0
    assert data.joint_names == ("left_1", "left_2", "left_gripper")
    assert data.image_shapes == {"top": SHAPE, "wrist": SHAPE}
    np.testing.assert_allclose(data.stats["observation.state"]["max"], data.state.max(0))
    np.testing.assert_allclose(data.stats["action"]["mean"], data.action.mean(0), atol=1e-5)
    assert data.stats["observation.images.top"]["std"].shape == (3, 1, 1)
    first, last = data.episode_bounds()
    assert first.tolist() == [0] * 5 + [5] * 9 + [14] * 4
    assert last.tolist() == [4] * 5 + [13] * 9 + [17] * 4


def test_images_are_reduced_while_reading(root: Path, data: Demonstrations) -> None:
    seen: list[tuple[int, int]] = []
    small = read_demonstrations(root, ("wrist",), (24, 32), lambda done, total: seen.append((done, total)))
    assert set(small.images) == {"wrist"} and small.images["wrist"].shape == (18, 24, 32, 3)
    assert small.image_shapes == {"wrist": SHAPE}
    np.testing.assert_array_equal(small.images["wrist"], reduce_images(data.images["wrist"], (24, 32)))
    assert seen[-1] == (18, 18)


def test_what_is_no_dataset_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"looked for .*meta/info.json, which does not exist"):
        read_demonstrations(tmp_path)
    with pytest.raises(DatasetError, match="no videos of camera left, right; present: top, wrist"):
        read_demonstrations(root, ("left", "top", "right"))

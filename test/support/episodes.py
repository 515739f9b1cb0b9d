# SPDX-License-Identifier: Apache-2.0
"""Small episodes with a different content in each frame, written by DatasetWriter and read by LeRobot."""

from pathlib import Path

import numpy as np
import pytest

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.lerobot_calls import quiet_lerobot
from dit_policy_ros.data.recording import DatasetWriter

CAMERAS = (Camera("top", "/top", 48, 64, 0.2), Camera("wrist", "/wrist", 32, 48, 0.2))
JOINTS = ("a", "b", "c")


SPEC = DatasetSpec(fps=30.0, cameras=CAMERAS, joints=JOINTS, robot_type="toy")


def make(root: Path, spec: DatasetSpec = SPEC, **options) -> DatasetWriter:
    return DatasetWriter(root, spec, **options)


def level(episode: int, frame: int) -> int:
    """Brightness of an image; it encodes episode and frame."""
    return 20 + 60 * episode + 4 * frame


def frame(episode: int, index: int) -> dict:
    images = {
        camera.name: np.full((camera.height, camera.width, 3), level(episode, index), np.uint8)
        for camera in CAMERAS
    }
    state = np.array([episode, index, 0.5])
    return {"images": images, "state": state, "action": state + 0.25}


def add(writer: DatasetWriter, episode: int, frames: int, task: str = "touch the cube") -> None:
    for index in range(frames):
        writer.add_frame(**frame(episode, index), task=task)


def lerobot_frame(episode: int, index: int, task: str) -> dict:
    """The frame that `add` makes, in the format of LeRobot's own writer."""
    one = frame(episode, index)
    images = {f"observation.images.{name}": image for name, image in one["images"].items()}
    vectors = {"observation.state": one["state"], "action": one["action"]}
    return {**images, **{name: value.astype(np.float32) for name, value in vectors.items()}, "task": task}


def extend_by_lerobot(root: Path, episode: int, frames: int, task: str) -> None:
    """Appends an episode with LeRobot's own writer; its frames are those that `add` makes."""
    from lerobot.datasets import LeRobotDataset

    with quiet_lerobot():
        dataset = LeRobotDataset.resume("local/test", root=root, streaming_encoding=True)
        for index in range(frames):
            dataset.add_frame(lerobot_frame(episode, index, task))
        dataset.save_episode()
        dataset.finalize()


def load(root: Path):
    from lerobot.datasets import LeRobotDataset

    return LeRobotDataset("local/test", root=root, video_backend="pyav")


def assert_holds(root: Path, episodes: dict[int, tuple[int, str]]) -> None:
    """Checks all frames of a dataset, which `add` made. episodes: number of frames and task, by index."""
    dataset = load(root)
    assert dataset.num_episodes == len(episodes)
    assert dataset.num_frames == sum(frames for frames, _ in episodes.values())
    row = 0
    for episode, (frames, task) in episodes.items():
        for index in range(frames):
            item = dataset[row]
            assert int(item["episode_index"]) == episode
            assert float(item["timestamp"]) == pytest.approx(index / 30)
            assert item["task"] == task
            np.testing.assert_allclose(item["observation.state"], [episode, index, 0.5])
            np.testing.assert_allclose(item["action"], [episode + 0.25, index + 0.25, 0.75])
            for camera in CAMERAS:
                image = item[f"observation.images.{camera.name}"].numpy() * 255.0  # (3, h, w)
                assert image.shape == (3, camera.height, camera.width)
                np.testing.assert_allclose(image, level(episode, index), atol=3.0)
            row += 1

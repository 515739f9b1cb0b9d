# SPDX-License-Identifier: Apache-2.0
"""What demonstrations say about a robot: names, rate, cameras, and how fast it was moved."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dit_policy_ros.core.recording import demonstrated_limits
from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.data.description import CameraFeature, describe_dataset


@dataclass(frozen=True, slots=True, eq=False)
class DatasetFacts:
    """What was found.

    Attributes:
        root: the dataset's folder.
        fps: its rate [Hz].
        robot_type: as it was recorded; empty if it does not say.
        names: of the state's entries; empty if it has none.
        cameras: that a policy can read.
        low, high: (D,) range of the states.
        velocity, acceleration: (D,) limits that the motion needed, with a margin; NaN for joints that rested.
    """

    root: Path
    fps: float
    robot_type: str
    names: tuple[str, ...]
    cameras: tuple[CameraFeature, ...]
    low: np.ndarray
    high: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray


def read_dataset_facts(root: Path) -> DatasetFacts:
    """Read a LeRobotDataset's states and description; no image is decoded.

    Raises:
        DatasetError: it is not a dataset, is damaged, or its episodes are too short.
    """
    description = describe_dataset(root)
    state, _ = description.state_and_action()
    cameras = tuple(camera for camera in description.cameras if not camera.problem)
    read = read_demonstrations(root, cameras=(), keep_images=False)
    keep = np.ones(len(read.state), bool) if read.flagged is None else ~read.flagged  # (M,)
    episodes = [
        read.state[keep & (read.episode_index == index)].astype(np.float64)
        for index in np.unique(read.episode_index)
    ]
    limits = demonstrated_limits(episodes, description.fps)
    together = np.concatenate(episodes)  # (N, D)
    return DatasetFacts(
        root=root,
        fps=description.fps,
        robot_type=description.robot_type or "",
        names=state.names or (),
        cameras=cameras,
        low=together.min(axis=0),
        high=together.max(axis=0),
        velocity=limits.velocity,
        acceleration=limits.acceleration,
    )

# SPDX-License-Identifier: Apache-2.0
"""Reads single observations of a LeRobotDataset v3 and the demonstrated chunks after them, full resolution.

Meant for a few hundred frames of a large dataset; ``read_demonstrations`` reads complete datasets.
Shapes: M frames of all episodes, S observation steps, T steps of a chunk, D state entries, A action entries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.data.dataset._metadata import (
    check_cameras,
    open_metadata,
    task_names,
)
from dit_policy_ros.data.lerobot_calls import preserve_root_logger, quiet_lerobot, reading_dataset


@dataclass(frozen=True, slots=True)
class Sample:
    """One observation as a policy takes it, and the demonstrated actions from its newest frame onwards.

    frame: row of that newest frame in the dataset.
    """

    frame: int
    images: dict[str, NDArray[np.uint8]]  # (S, H, W, 3) RGB, by camera
    state: NDArray[np.float32]  # (S, D) [rad or m]
    action: NDArray[np.float32]  # (T, A) [rad or m]; after the end of the episode, its last action
    valid: NDArray[np.bool_]  # (T,) false after the end of the episode


class SampleReader:
    """Random access to a dataset's frames, with the observation history and the chunk of each."""

    def __init__(self, root: Path | str, cameras: Sequence[str], n_obs_steps: int, chunk: int) -> None:
        """Open a dataset.

        Args:
            root: the dataset's folder (it contains ``meta/info.json``).
            cameras: names of the cameras to read.
            n_obs_steps: length S of the observation history [steps].
            chunk: length T of the demonstrated chunk [steps].

        Raises:
            DatasetError: the folder is not a dataset, is damaged or empty, or lacks a camera, the state or
                the action.
        """
        self.root = Path(root).expanduser().resolve()
        self.cameras = tuple(cameras)
        meta = open_metadata(self.root)
        check_cameras(meta, self.cameras)
        self.fps = float(meta.fps)
        self.tasks = task_names(meta)
        past = [step / self.fps for step in range(1 - n_obs_steps, 1)]
        deltas = dict.fromkeys((STATE_KEY, *(IMAGE_PREFIX + camera for camera in self.cameras)), past)
        deltas[ACTION_KEY] = [step / self.fps for step in range(chunk)]
        with preserve_root_logger():
            from lerobot.datasets import LeRobotDataset
        with reading_dataset(self.root):
            self._dataset = LeRobotDataset(
                f"local/{self.root.name}", root=self.root, delta_timestamps=deltas, video_backend="pyav"
            )
        self.task_index = self._column("task_index").astype(np.int64)  # (M,)
        self.episode_index = self._column("episode_index").astype(np.int64)  # (M,)
        self.action = self._column(ACTION_KEY).astype(np.float32)  # (M, A)
        self.state_dim, self.action_dim = (meta.features[key]["shape"][0] for key in (STATE_KEY, ACTION_KEY))
        self.image_shapes = {c: tuple(meta.features[IMAGE_PREFIX + c]["shape"][:2]) for c in self.cameras}

    def read(self, frame: int) -> Sample:
        """The sample at a frame of the dataset. Raises DatasetError if its video cannot be decoded."""
        try:
            with quiet_lerobot():
                item: Any = self._dataset[frame]
        except (OSError, ValueError, RuntimeError, IndexError) as error:
            raise DatasetError(f"dataset {self.root}: frame {frame} cannot be read: {error!r}") from error
        images = {}
        for camera in self.cameras:
            pixels = item[IMAGE_PREFIX + camera]
            pixels = pixels.reshape(-1, *pixels.shape[-3:])  # LeRobot drops the axis of a single step
            pixels = pixels.permute(0, 2, 3, 1)  # (S, H, W, 3) in 0 to 1
            images[camera] = (pixels * 255).round().clamp(0, 255).numpy().astype(np.uint8)
        return Sample(
            frame=frame,
            images=images,
            state=item[STATE_KEY].numpy().astype(np.float32),
            action=item[ACTION_KEY].numpy().astype(np.float32),
            valid=~item[f"{ACTION_KEY}_is_pad"].numpy(),
        )

    def _column(self, name: str) -> NDArray[Any]:
        return np.array(self._dataset.hf_dataset.data.column(name).to_pylist())

# SPDX-License-Identifier: Apache-2.0
"""Single observations of a LeRobotDataset v3 and what was demonstrated after them, at full resolution.

For a few hundred frames of a large dataset; ``reader`` reads whole datasets for training.
Shapes: M frames of all episodes, S observation steps, T steps of a chunk, D state and A action entries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, IMAGE_PREFIX, STATE_KEY
from dit_policy_ros.data.dataset._files import check_readable
from dit_policy_ros.data.quiet import quiet, same_root_logger


@dataclass(frozen=True, slots=True)
class Sample:
    """One observation as a policy takes it, and the demonstrated actions from its newest frame on."""

    frame: int
    images: dict[str, NDArray[np.uint8]]  # (S, H, W, 3) RGB, by camera
    state: NDArray[np.float32]  # (S, D) [rad or m]
    action: NDArray[np.float32]  # (T, A) [rad or m]; the episode's last action is repeated after its end
    valid: NDArray[np.bool_]  # (T,) false after the episode's end


class SampleReader:
    """Random access to a dataset's frames with their past and future."""

    def __init__(self, root: Path | str, cameras: Sequence[str], n_obs_steps: int, chunk: int) -> None:
        """Open a dataset.

        Args:
            root: the dataset's folder (it holds ``meta/info.json``).
            cameras: names of the cameras to read.
            n_obs_steps: length of the observation history S.
            chunk: length of the demonstrated chunk T.

        Raises:
            DatasetError: the folder is no dataset, is damaged or empty, or lacks a camera, state or action.
        """
        self.root = Path(root).expanduser().resolve()
        self.cameras = tuple(cameras)
        check_readable(self.root)
        with same_root_logger():
            from lerobot.datasets import LeRobotDataset
            from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
        try:
            with quiet():
                name = f"local/{self.root.name}"
                meta: Any = LeRobotDatasetMetadata(name, root=self.root)
                self.fps = float(meta.fps)
                self._check(meta)
                past = [step / self.fps for step in range(1 - n_obs_steps, 1)]
                deltas = dict.fromkeys((STATE_KEY, *(IMAGE_PREFIX + camera for camera in self.cameras)), past)
                deltas[ACTION_KEY] = [step / self.fps for step in range(chunk)]
                self._dataset = LeRobotDataset(
                    name, root=self.root, delta_timestamps=deltas, video_backend="pyav"
                )
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise DatasetError(f"dataset {self.root} cannot be read: {error!r}") from error
        self.tasks = tuple(str(task) for task in meta.tasks.sort_values("task_index").index)
        self.task_index = self._column("task_index").astype(np.int64)  # (M,)
        self.episode_index = self._column("episode_index").astype(np.int64)  # (M,)
        self.action = self._column(ACTION_KEY).astype(np.float32)  # (M, A)
        self.state_dim, self.action_dim = (meta.features[key]["shape"][0] for key in (STATE_KEY, ACTION_KEY))
        self.image_shapes = {c: tuple(meta.features[IMAGE_PREFIX + c]["shape"][:2]) for c in self.cameras}

    def read(self, frame: int) -> Sample:
        """The observation at a frame of the dataset; DatasetError where its video cannot be decoded."""
        try:
            with quiet():
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

    def _check(self, meta: Any) -> None:
        missing = [key for key in (STATE_KEY, ACTION_KEY) if key not in meta.features]
        if missing:
            raise DatasetError(
                f"dataset {self.root}: expected {STATE_KEY} and {ACTION_KEY}, missing: {', '.join(missing)}"
            )
        present = [key.removeprefix(IMAGE_PREFIX) for key in meta.video_keys]
        absent = sorted(set(self.cameras) - set(present))
        if absent:
            raise DatasetError(
                f"dataset {self.root}: no videos of camera {', '.join(absent)}; present: {', '.join(present)}"
            )

    def _column(self, name: str) -> NDArray[Any]:
        return np.array(self._dataset.hf_dataset.data.column(name).to_pylist())

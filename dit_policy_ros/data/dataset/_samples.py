# SPDX-License-Identifier: Apache-2.0
"""Reads single observations of a LeRobotDataset v3 and the demonstrated chunks after them, full resolution.

Meant for a few hundred frames of a large dataset; ``read_demonstrations`` reads complete datasets.
Shapes: M frames of all episodes, S observation steps, T steps of a chunk, D state entries with those of the
further vectors, A action entries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import ACTION_KEY, STATE_KEY
from dit_policy_ros.data.dataset._metadata import open_metadata, task_names
from dit_policy_ros.data.dataset._row_check import ROW_COLUMNS, check_rows
from dit_policy_ros.data.description import choose_cameras, choose_vectors, describe_dataset
from dit_policy_ros.data.lerobot_calls import preserve_root_logger, reading_dataset
from dit_policy_ros.data.video import read_columns


@dataclass(frozen=True, slots=True)
class Sample:
    """One observation as a policy takes it, and the demonstrated actions from its newest frame onwards.

    frame: row of that newest frame in the dataset.
    """

    frame: int
    images: dict[str, NDArray[np.uint8]]  # (S, H, W, 3) RGB, by camera
    state: NDArray[np.float32]  # (S, D) [rad or m]
    action: NDArray[np.float32]  # (T, A) [rad or m]; after the end of the episode, its last action
    valid: NDArray[np.bool_]  # (T,) false after the end of the episode or instruction


class SampleReader:
    """Random access to a dataset's frames, with the observation history and the chunk of each."""

    def __init__(
        self,
        root: Path | str,
        cameras: Sequence[str],
        n_obs_steps: int,
        chunk: int,
        vectors: Sequence[str] = (),
    ) -> None:
        """Open a dataset.

        Args:
            root: the dataset's folder (it contains ``meta/info.json``).
            cameras: names or keys of the cameras to read.
            n_obs_steps: length S of the observation history [steps].
            chunk: length T of the demonstrated chunk [steps].
            vectors: names or keys of further vectors whose entries follow those of the state.

        Raises:
            DatasetError: the folder is not a dataset, is damaged or empty, or lacks a camera, a vector, the
                state or the action.
        """
        self.root, self._chunk, self._steps = Path(root).expanduser().resolve(), chunk, n_obs_steps
        description = describe_dataset(self.root)
        state, action = description.state_and_action()
        chosen = choose_cameras(description.cameras, cameras, description.source)
        self.vectors = choose_vectors(description.vectors, vectors, description.source)
        self._parts = (STATE_KEY, *(vector.key for vector in self.vectors))
        meta = open_metadata(self.root)
        self._keys = {camera.name: camera.key for camera in chosen}
        self.cameras = tuple(self._keys)
        self.fps = description.fps
        self.tasks = task_names(meta)
        past = [step / self.fps for step in range(1 - n_obs_steps, 1)]
        deltas = dict.fromkeys((*self._parts, *self._keys.values()), past)
        deltas[ACTION_KEY] = [step / self.fps for step in range(chunk)]
        with preserve_root_logger():
            from lerobot.datasets import LeRobotDataset
        with reading_dataset(self.root):
            check_rows(meta, read_columns(meta, ROW_COLUMNS))
            self._dataset = LeRobotDataset(
                f"local/{self.root.name}", root=self.root, delta_timestamps=deltas, video_backend="pyav"
            )
            self.task_index = self._column("task_index").astype(np.int64)  # (M,)
            self.episode_index = self._column("episode_index").astype(np.int64)  # (M,)
            actions = self._column(ACTION_KEY).astype(np.float32)
        self.action = actions.reshape(len(actions), -1)  # (M, A)
        self.state_dim = state.dim + sum(vector.dim for vector in self.vectors)
        self.action_dim = action.dim
        self.state_names, self.action_names = state.names, action.names
        self.image_shapes = {camera.name: (camera.height, camera.width) for camera in chosen}

    def read(self, frame: int) -> Sample:
        """The sample at a frame of the dataset. Raises DatasetError if its video cannot be decoded."""
        try:
            with reading_dataset(self.root):
                item: Any = self._dataset[frame]
        except DatasetError as error:
            raise DatasetError(f"frame {frame}: {error}") from error
        images = {}
        for camera in self.cameras:
            pixels = item[self._keys[camera]]
            pixels = pixels.reshape(-1, *pixels.shape[-3:])  # LeRobot drops the axis of a single step
            pixels = pixels.permute(0, 2, 3, 1)  # (S, H, W, 3) in 0 to 1
            images[camera] = (pixels * 255).round().clamp(0, 255).numpy().astype(np.uint8)
        return Sample(
            frame=frame,
            images=images,
            state=self._state(item),
            action=item[ACTION_KEY].numpy().astype(np.float32).reshape(-1, self.action_dim),
            valid=~item[f"{ACTION_KEY}_is_pad"].numpy() & self._same_task(frame),
        )

    def _state(self, item: Mapping[str, Any]) -> NDArray[np.float32]:
        """The observed states with the further vectors, (S, D)."""
        parts = [item[key].numpy().astype(np.float32).reshape(self._steps, -1) for key in self._parts]
        return np.concatenate(parts, axis=1)

    def _same_task(self, frame: int) -> NDArray[np.bool_]:
        """Which steps (T,) of the chunk have the frame's instruction, up to the first that has another."""
        rows = np.minimum(frame + np.arange(self._chunk), len(self.task_index) - 1)  # (T,)
        return np.logical_and.accumulate(self.task_index[rows] == self.task_index[frame])

    def _column(self, name: str) -> NDArray[Any]:
        return np.array(self._dataset.hf_dataset.data.column(name).to_pylist())

# SPDX-License-Identifier: Apache-2.0
"""One episode with everything that its frames contain, for looking at it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset._episode_plot import episode_vectors
from dit_policy_ros.data.dataset._metadata import open_metadata, task_names
from dit_policy_ros.data.dataset._overview import EpisodeRow, episode_rows
from dit_policy_ros.data.description import describe_dataset, read_info
from dit_policy_ros.data.lerobot_calls import preserve_root_logger, reading_dataset

_DRIVER_COLUMNS = ("intervention", "controller")  # who drove, in recordings of policy runs


@dataclass(frozen=True, slots=True, eq=False)
class EpisodeFrames:
    """An episode of N frames.

    Attributes:
        root: the dataset's folder.
        row: index, tasks, label and check.
        fps: [Hz].
        vectors: by key, the names of the entries and the values (N, entries).
        tasks: the instruction of each frame.
        drivers: what the dataset says of who drove each frame, (N,) by name of the column; mostly empty.
        cameras: name of each camera, by its key.
        depth_cameras: those whose images hold distances, by key, with their unit, "mm" or "m".
    """

    root: Path
    row: EpisodeRow
    fps: float
    vectors: dict[str, tuple[tuple[str, ...], NDArray[np.float64]]]
    tasks: tuple[str, ...]
    drivers: dict[str, NDArray[Any]]
    cameras: dict[str, str]
    depth_cameras: dict[str, str] = field(default_factory=dict)

    def images(self) -> Iterator[dict[str, NDArray[Any]]]:
        """The images of each frame, (H, W, 3) RGB or (H, W) float32 distances, by name of the camera.

        Raises DatasetError.
        """
        if not self.cameras:
            return
        with preserve_root_logger():
            from lerobot.datasets import LeRobotDataset
        with reading_dataset(self.root):
            dataset: Any = LeRobotDataset(f"local/{self.root.name}", root=self.root, video_backend="pyav")
            start = int(dataset.meta.episodes["dataset_from_index"][self.row.index])
        for frame in range(self.row.frames):
            with reading_dataset(self.root):
                item = dataset[start + frame]
                images = {name: self._image(key, item[key]) for key, name in self.cameras.items()}
            yield images

    def _image(self, key: str, image: Any) -> NDArray[Any]:
        """From LeRobot's image: (3, H, W) of 0 to 1, or distances (1, H, W) [mm]."""
        if (unit := self.depth_cameras.get(key)) is not None:
            return image[0].numpy().astype(np.float32) * (0.001 if unit == "m" else 1.0)  # (H, W)
        return (image.permute(1, 2, 0) * 255).round().clamp(0, 255).numpy().astype(np.uint8)


def read_episode(root: Path, index: int) -> EpisodeFrames:
    """Read one episode of a dataset; its images are decoded later. Raises DatasetError."""
    rows = episode_rows(root)
    if not 0 <= index < len(rows):
        raise DatasetError(f"dataset {root}: expected an episode from 0 to {len(rows) - 1}, got {index}")
    row, description = rows[index], describe_dataset(root)
    features = [each for each in (description.state, description.action, *description.vectors) if each]
    present = [name for name in _DRIVER_COLUMNS if name in read_info(root)["features"]]
    columns = episode_vectors(root, {index}, ["task_index", *present, *(each.key for each in features)])[
        index
    ]
    known = task_names(open_metadata(root))
    return EpisodeFrames(
        root=root,
        row=row,
        fps=float(description.fps),
        vectors={each.key: (_names(each, columns[each.key]), columns[each.key]) for each in features},
        tasks=tuple(known[int(number)] for number in columns["task_index"][:, 0]),
        drivers={name: columns[name][:, 0] for name in present},
        cameras={each.key: each.name for each in description.cameras if not each.problem or each.depth_unit},
        depth_cameras={each.key: each.depth_unit for each in description.cameras if each.depth_unit},
    )


def _names(feature: Any, values: NDArray) -> tuple[str, ...]:
    names = tuple(feature.names or ())
    return names if len(names) == values.shape[1] else tuple(str(n) for n in range(values.shape[1]))

# SPDX-License-Identifier: Apache-2.0
"""One camera's images of LeRobotDatasets v3 in any order: decoded from the files for each request.

It stands where an array of all images would stand. What it holds in memory does not grow with the images,
only with the number of frames (4 bytes each) and of open files.

Shapes: M frames of all datasets, E episodes of one dataset, R requested rows.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.description import CameraFeature
from dit_policy_ros.data.lerobot_calls import preserve_root_logger, quiet_lerobot, reading_dataset
from dit_policy_ros.data.video._camera_images import CameraImages, check_image_size, resize_images
from dit_policy_ros.data.video._dataset_video import TOLERANCE, missing_frame
from dit_policy_ros.data.video._rows import data_files, read_columns
from dit_policy_ros.data.video._seek import VideoFiles
from dit_policy_ros.data.video._stored_images import decode_cell


class RandomImages:
    """Images (M, h, w, 3), indexed by rows of any shape. A forked process may use its parent's."""

    def __init__(self, images: CameraImages) -> None:
        """Look up where each row's image is. Raises DatasetError if the tables cannot be read."""
        self.shape = images.shape
        self._starts = np.cumsum([0, *(meta.total_frames for meta in images.metas)])
        self._parts: list[_VideoRows | _TableRows] = []
        for meta, camera in zip(images.metas, images.cameras, strict=True):
            with reading_dataset(meta.root):
                rows = _VideoRows if camera.stored_as == "video" else _TableRows
                self._parts.append(rows(meta, camera))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images (*rows.shape, h, w, 3). Raises DatasetError if one cannot be read."""
        wanted, places = np.unique(rows, return_inverse=True)
        images = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        which = np.searchsorted(self._starts, wanted, side="right") - 1
        for number in np.unique(which):
            chosen = which == number
            part = self._parts[number]
            decoded = part.images(wanted[chosen] - self._starts[number])
            for place, image in zip(np.flatnonzero(chosen), decoded, strict=True):
                images[place] = resize_images(image[None], self.shape[1:3])[0]
        return images[places.reshape(rows.shape)]


class _VideoRows:
    """The rows of one dataset whose camera is stored as video."""

    def __init__(self, meta: Any, camera: CameraFeature) -> None:
        key = camera.key
        self._meta, self._camera = meta, camera
        columns = ["dataset_from_index", f"videos/{key}/chunk_index", f"videos/{key}/file_index"]
        columns += [f"videos/{key}/from_timestamp"]
        table = meta.episodes.select_columns(columns).with_format("numpy")[:]
        self._first, chunk, file, self._start = (np.asarray(table[name]) for name in columns)  # (E,) each
        names = np.stack([chunk, file], axis=1)  # (E, 2)
        files, self._file = np.unique(names, axis=0, return_inverse=True)  # (E,) into the paths
        episodes = [int(np.flatnonzero(self._file == number)[0]) for number in range(len(files))]
        self._paths = [Path(meta.get_video_file_path(episode, key)) for episode in episodes]
        self._stamps = read_columns(meta, ["timestamp"])["timestamp"].reshape(-1).astype(np.float32)  # [s]
        self._files = VideoFiles(meta.root, 1 / meta.fps)

    def images(self, rows: NDArray[np.int64]) -> Any:
        """The images (H, W, 3) of increasing rows (R,), in their order."""
        meta, camera = self._meta, self._camera
        episode = np.searchsorted(self._first, rows, side="right") - 1  # (R,)
        times = self._start[episode] + self._stamps[rows].astype(np.float64)  # (R,) [s]
        found = dict[int, NDArray[np.uint8]]()
        for file in np.unique(self._file[episode]):
            inside = np.flatnonzero(self._file[episode] == file)
            inside = inside[np.argsort(times[inside], kind="stable")]
            path = self._paths[file]
            for place, time, (at, frame) in zip(
                inside,
                times[inside],
                self._files.nearest(path, times[inside].tolist()),
                strict=True,
            ):
                if frame is None or not abs(at - time) <= TOLERANCE / meta.fps:
                    raise DatasetError(missing_frame(meta, camera.key, path, int(rows[place]), time, at))
                found[int(place)] = frame.to_ndarray(format="rgb24")
                check_image_size(found[int(place)], meta, camera, int(rows[place]))
        return [found[place] for place in range(len(rows))]


class _TableRows:
    """The rows of one dataset that stores a camera's images one by one in its tables."""

    def __init__(self, meta: Any, camera: CameraFeature) -> None:
        with preserve_root_logger():
            from datasets import Dataset, Image
        self._meta, self._camera = meta, camera
        files: list[Any] = [str(path) for path in data_files(meta)]
        with quiet_lerobot():  # maps a copy without compression into memory; it lies in datasets' cache
            table = Dataset.from_parquet(files, columns=[camera.key, "index"])
            self._table: Any = table.cast_column(camera.key, Image(decode=False))
        self._order = np.argsort(np.asarray(self._table.with_format("numpy")["index"][:]), kind="stable")

    def images(self, rows: NDArray[np.int64]) -> Any:
        """The images (H, W, 3) of rows (R,), in their order."""
        meta, camera = self._meta, self._camera
        cells = self._table[self._order[rows]][camera.key]
        images = []
        for row, cell in zip(rows, cells, strict=True):
            images.append(decode_cell(meta.root, camera.key, int(row), cell))
            check_image_size(images[-1], meta, camera, int(row))
        return images

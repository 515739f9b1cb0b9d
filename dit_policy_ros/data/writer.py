# SPDX-License-Identifier: Apache-2.0
"""Writes episodes as a LeRobotDataset v3: one Parquet row per frame, one video per camera."""

import contextlib
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.data.dataset_files import check_same, features_of, inspect_folder, nearest_existing
from dit_policy_ros.data.quiet import quiet, same_root_logger

# H.264 with a key frame at every second frame: fast to encode and to read at random, on any machine.
_VIDEO: dict[str, Any] = {"vcodec": "h264", "pix_fmt": "yuv420p", "g": 2, "crf": 20, "preset": "veryfast"}
_VIDEO["extra_options"] = {"x264-params": "log=0"}  # errors only; it would print pages on stderr
_QUEUE = 30  # frames per camera that wait for the encoder at most
_LEAST_FRAMES = 2  # LeRobot keeps no image statistics of an episode of one frame


class DatasetWriter:
    """Appends episodes to a dataset folder, which is created, or extended after checking that it matches.

    An episode is in the dataset for good when `save_episode` returns: its files are closed then, because
    LeRobot otherwise keeps them open and unreadable for the whole session. That costs 0.1 to 0.3 s per
    episode; with `finalize_each=False` (bulk writing, where one begins again after a crash) `finalize` does
    it.

    Args:
        root: the dataset's folder.
        fps: frames per second, a whole number for LeRobot [Hz].
        cameras: names and sizes of the images.
        joints: names of the entries of state and action.
        robot_type: written into the dataset.
        finalize_each: see above.

    Raises:
        DatasetError: the path is a file, another kind of folder, damaged, not writable, or was recorded with
            another contract (all differences are listed).
    """

    def __init__(
        self,
        root: Path | str,
        fps: float,
        cameras: Sequence[Camera],
        joints: Sequence[str],
        robot_type: str,
        finalize_each: bool = True,
    ) -> None:
        self._root = Path(root)
        if not float(fps).is_integer():
            raise DatasetError(
                f"fps: LeRobot datasets have a whole number of frames per second, got {fps:g} Hz"
            )
        self._fps = int(fps)
        self._cameras = {f"observation.images.{camera.name}": camera for camera in cameras}
        self._features = features_of(cameras, joints)
        self._robot_type = robot_type
        self._finalize_each = finalize_each
        self._dataset: Any = None  # lerobot.datasets.LeRobotDataset while open
        self._frames = 0  # of the running episode
        info = inspect_folder(self._root)
        if info is not None:
            check_same(self._root, info, self._fps, robot_type, self._features)
        self._episodes = 0 if info is None else int(info["total_episodes"])

    @property
    def root(self) -> Path:
        """The dataset's folder."""
        return self._root

    @property
    def next_index(self) -> int:
        """Index that the running episode, or the next one, will have."""
        return self._episodes

    def begin_episode(self) -> None:
        """Opens the dataset, so that the first frame does not wait for it."""
        if self._dataset is None:
            with same_root_logger(), self._errors("opened"):
                self._dataset = self._open()

    def add_frame(
        self, images: Mapping[str, np.ndarray], state: np.ndarray, action: np.ndarray, task: str
    ) -> None:
        """Appends a frame to the running episode; begins one if none runs.

        Args:
            images: by camera name, uint8 (h, w, 3) RGB.
            state: joint positions (D,) [rad or m].
            action: commanded joint positions (D,) [rad or m].
            task: the instruction.

        Raises:
            DatasetError: not finite, no task, or the encoder failed. ValueError: wrong cameras or shapes.
        """
        frame: dict[str, Any] = {f"observation.images.{name}": image for name, image in images.items()}
        self._check_images(frame)
        for name, values in (("observation.state", state), ("action", action)):
            frame[name] = self._checked(name, values)
        if not task.strip():
            raise DatasetError("task: expected an instruction, got an empty text")
        self.begin_episode()
        with self._errors("extended"):
            self._dataset.add_frame({**frame, "task": task})
        self._frames += 1

    def save_episode(self) -> int:
        """Adds the running episode to the dataset and returns its index.

        Raises DatasetError if there are fewer than two frames (the episode goes on) or writing failed (the
        episode is lost).
        """
        if self._frames < _LEAST_FRAMES:
            raise DatasetError(
                f"an episode needs at least {_LEAST_FRAMES} frames, this one has {self._frames}"
            )
        with self._errors("extended"):
            self._dataset.save_episode()
            if self._finalize_each:
                self._dataset.finalize()
        if self._finalize_each:
            self._dataset = None
        self._frames = 0
        self._episodes += 1
        return self._episodes - 1

    def discard_episode(self) -> None:
        """Forgets the running episode, its frames and its half-encoded videos."""
        self._frames = 0
        if self._dataset is not None:
            with self._errors("cleaned up"):
                self._dataset.clear_episode_buffer()

    def finalize(self) -> None:
        """Closes the dataset; an episode that was not saved is forgotten. May be called again."""
        if self._dataset is not None:
            self.discard_episode()
            with self._errors("closed"):
                self._dataset.finalize()
            self._dataset = None

    def _open(self) -> Any:
        from lerobot.configs.video import RGBEncoderConfig
        from lerobot.datasets import LeRobotDataset

        from dit_policy_ros.data.lossless_encoder import LosslessVideoEncoder

        video = RGBEncoderConfig(**_VIDEO)
        name = f"local/{self._root.name}"
        common: dict[str, Any] = {"root": self._root, "rgb_encoder": video, "streaming_encoding": True}
        if inspect_folder(self._root) is None:
            if self._root.exists():
                self._root.rmdir()  # empty; LeRobot insists on creating it
            dataset = LeRobotDataset.create(
                name, fps=self._fps, features=self._features, robot_type=self._robot_type, **common
            )
        else:
            dataset = LeRobotDataset.resume(name, **common)
        assert dataset.writer is not None  # both ways of opening make one
        # LeRobot has no door for an encoder of one's own.
        dataset.writer._streaming_encoder = LosslessVideoEncoder(
            self._fps, rgb_encoder=video, queue_maxsize=_QUEUE, encoder_threads=1
        )
        return dataset

    @contextlib.contextmanager
    def _errors(self, verb: str) -> Iterator[None]:
        """Whatever LeRobot raises becomes a DatasetError, and what it had open is closed."""
        try:
            with quiet():
                yield
        except DatasetError:
            raise
        except Exception as error:
            self._abandon()
            free = shutil.disk_usage(nearest_existing(self._root)).free
            raise DatasetError(
                f"dataset {self._root} could not be {verb}: {error!r}. Is the disk full "
                f"({free / 1e6:.0f} MB free) or read-only?"
            ) from error

    def _abandon(self) -> None:
        dataset, self._dataset, self._frames = self._dataset, None, 0
        if dataset is None:
            return
        # What was saved is on disk; what fails here was part of the episode that the caller reports as lost.
        with contextlib.suppress(Exception):
            dataset.clear_episode_buffer()
        with contextlib.suppress(Exception):
            dataset.finalize()

    def _check_images(self, frame: Mapping[str, np.ndarray]) -> None:
        if frame.keys() != self._cameras.keys():
            raise ValueError(f"cameras: expected {listing(self._cameras)}, got {listing(frame)}")
        for key, camera in self._cameras.items():
            image, expected = frame[key], (camera.height, camera.width, 3)
            if image.shape != expected or image.dtype != np.uint8:
                raise ValueError(f"{key}: expected uint8 {expected}, got {image.dtype} {image.shape}")

    def _checked(self, name: str, values: np.ndarray) -> np.ndarray:
        vector = np.asarray(values, dtype=np.float32)  # (D,)
        if vector.shape != self._features[name]["shape"]:
            raise ValueError(f"{name}: expected shape {self._features[name]['shape']}, got {vector.shape}")
        bad = [f"{joint} = {value}" for joint, value in self._named(name, vector) if not math.isfinite(value)]
        if bad:
            raise DatasetError(f"{name}: expected finite values, got {listing(bad)}")
        return vector

    def _named(self, name: str, vector: np.ndarray) -> Iterator[tuple[str, float]]:
        return zip(self._features[name]["names"], vector.tolist(), strict=True)

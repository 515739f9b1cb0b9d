# SPDX-License-Identifier: Apache-2.0
"""Checks a frame before it is recorded, so that no frame spoils the dataset."""

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.lerobot_keys import vector_key
from dit_policy_ros.core.problems import listing
from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.recording._journal_format import CONTROLLER_NAMES
from dit_policy_ros.data.video import CameraImage


class FrameCheck:
    """Checks frames against what the dataset records.

    Args:
        spec: what the dataset records.
        jpeg_cameras: cameras whose images are the bytes of a JPEG.
        streams: names of all streams.
    """

    def __init__(
        self, spec: DatasetSpec, jpeg_cameras: Collection[str], streams: Collection[str] = ()
    ) -> None:
        self._streams = streams
        self._joints, self._has_control = spec.joints, spec.control
        self._entries = {vector.name: vector.entries for vector in spec.vectors}
        self._cameras = {camera.name: camera for camera in spec.cameras}
        self._jpeg_cameras = jpeg_cameras

    def check_images(self, images: Mapping[str, CameraImage]) -> None:
        """Raises ValueError for wrong cameras, types or shapes."""
        if images.keys() != self._cameras.keys():
            raise ValueError(f"cameras: expected {listing(self._cameras)}, got {listing(images)}")
        for name, camera in self._cameras.items():
            image, shape, dtype = images[name], camera.image_shape, np.dtype(camera.image_type)
            if isinstance(image, bytes) != (name in self._jpeg_cameras):
                expected = "the bytes of a JPEG" if name in self._jpeg_cameras else f"{dtype} {shape}"
                raise ValueError(f"{name}: expected {expected}, got {type(image).__name__}")
            if not isinstance(image, bytes) and (image.shape != shape or image.dtype != dtype):
                raise ValueError(f"{name}: expected {dtype} {shape}, got {image.dtype} {image.shape}")

    def check_text(self, task: str, repeated: Collection[str]) -> None:
        """Raises ValueError for streams that do not exist; DatasetError for an instruction that is none."""
        if unknown := sorted(set(repeated) - set(self._streams)):
            raise ValueError(f"repeated: expected some of {listing(self._streams)}, got {listing(unknown)}")
        try:
            task.encode()
        except UnicodeEncodeError as error:
            raise DatasetError(f"task: expected text in UTF-8, got {task!r}") from error
        if not task.strip():
            raise DatasetError("task: expected an instruction, got an empty text")

    def to_vector(self, feature: str, values: np.ndarray) -> NDArray[np.float32]:
        """State or action as float32 (D,).

        Raises ValueError for a wrong shape, DatasetError if an entry is not finite.
        """
        return _to_vector(feature, values, self._joints)

    def to_control(self, controller: str | None) -> tuple[NDArray[np.float32], ...]:
        """Who drove, as a vector of one number; none if that is not recorded. Raises ValueError."""
        if (controller is None) is self._has_control:
            raise ValueError(f"controller: expected one if and only if it is recorded, got {controller!r}")
        if controller is None:
            return ()
        return (np.array([CONTROLLER_NAMES.index(controller)], dtype=np.float32),)

    def to_vectors(self, vectors: Mapping[str, np.ndarray]) -> dict[str, NDArray[np.float32]]:
        """The further vectors as float32 (K,) each, in the order of the dataset.

        Raises ValueError for wrong vectors or shapes, DatasetError if an entry is not finite.
        """
        if vectors.keys() != self._entries.keys():
            raise ValueError(f"vectors: expected {listing(self._entries)}, got {listing(vectors)}")
        return {
            name: _to_vector(vector_key(name), vectors[name], entries)
            for name, entries in self._entries.items()
        }


def _to_vector(feature: str, values: np.ndarray, names: Sequence[str]) -> NDArray[np.float32]:
    vector = np.asarray(values, dtype=np.float32)  # (D,)
    shape = (len(names),)
    if vector.shape != shape:
        raise ValueError(f"{feature}: expected shape {shape}, got {vector.shape}")
    entries = zip(names, vector.tolist(), strict=True)
    bad = [f"{name} = {value}" for name, value in entries if not math.isfinite(value)]
    if bad:
        raise DatasetError(f"{feature}: expected finite values, got {listing(bad)}")
    return vector

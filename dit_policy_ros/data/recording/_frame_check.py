# SPDX-License-Identifier: Apache-2.0
"""Checks a frame before it is recorded, so that no frame spoils the dataset."""

import math
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.video import CameraImage


class FrameCheck:
    """Checks frames against what the dataset records.

    Args:
        spec: what the dataset records.
        jpeg_cameras: cameras whose images are the bytes of a JPEG.
    """

    def __init__(self, spec: DatasetSpec, jpeg_cameras: Collection[str]) -> None:
        self._joints = spec.joints
        self._cameras = {camera.name: camera for camera in spec.cameras}
        self._jpeg_cameras = jpeg_cameras

    def check_images(self, images: Mapping[str, CameraImage]) -> None:
        """Raises ValueError for wrong cameras, types or shapes."""
        if images.keys() != self._cameras.keys():
            raise ValueError(f"cameras: expected {listing(self._cameras)}, got {listing(images)}")
        for name, camera in self._cameras.items():
            image, shape = images[name], (camera.height, camera.width, 3)
            if isinstance(image, bytes) != (name in self._jpeg_cameras):
                expected = "the bytes of a JPEG" if name in self._jpeg_cameras else f"uint8 {shape}"
                raise ValueError(f"{name}: expected {expected}, got {type(image).__name__}")
            if not isinstance(image, bytes) and (image.shape != shape or image.dtype != np.uint8):
                raise ValueError(f"{name}: expected uint8 {shape}, got {image.dtype} {image.shape}")

    def to_vector(self, feature: str, values: np.ndarray) -> NDArray[np.float32]:
        """State or action as float32 (D,).

        Raises ValueError for a wrong shape, DatasetError if an entry is not finite.
        """
        vector = np.asarray(values, dtype=np.float32)  # (D,)
        shape = (len(self._joints),)
        if vector.shape != shape:
            raise ValueError(f"{feature}: expected shape {shape}, got {vector.shape}")
        entries = zip(self._joints, vector.tolist(), strict=True)
        bad = [f"{joint} = {value}" for joint, value in entries if not math.isfinite(value)]
        if bad:
            raise DatasetError(f"{feature}: expected finite values, got {listing(bad)}")
        return vector

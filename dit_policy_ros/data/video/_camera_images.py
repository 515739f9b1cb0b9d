# SPDX-License-Identifier: Apache-2.0
"""All images of one camera of LeRobotDatasets v3, in order, however the datasets store them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.description import CameraFeature
from dit_policy_ros.data.lerobot_calls import reading_dataset
from dit_policy_ros.data.video._dataset_video import video_frames
from dit_policy_ros.data.video._stored_images import stored_images

_BATCH = 64  # images that are resized together

type ImageBatch = tuple[NDArray[np.int64], NDArray[np.uint8]]  # rows (B,) and their images (B, h, w, 3)


@dataclass(frozen=True, slots=True)
class CameraImages:
    """One camera's images in the files of datasets: decoded and resized on request, not kept.

    metas: LeRobot's metadata of the datasets, in the order of their rows. cameras: the camera in each of
    them. shape: (M, h, w, 3) of all images after resizing.
    """

    metas: tuple[Any, ...]
    cameras: tuple[CameraFeature, ...]
    shape: tuple[int, int, int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def batches(self, selected: NDArray[np.bool_] | None = None) -> Iterator[ImageBatch]:
        """Rows (B,) and their images (B, h, w, 3), in the order of the files.

        Args:
            selected: (M,) the rows to return; None returns all.

        Raises:
            DatasetError: a file cannot be read, or a row has no image of its own, or one of another size.
        """
        before = 0
        for meta, camera in zip(self.metas, self.cameras, strict=True):
            wanted = None if selected is None else selected[before : before + meta.total_frames]
            with reading_dataset(meta.root):
                frames = video_frames if camera.stored_as == "video" else stored_images
                for rows, images in _grouped(frames(meta, camera.key), wanted, meta, camera):
                    yield before + rows, resize_images(images, self.shape[1:3])
            before += meta.total_frames


def _grouped(
    frames: Iterator[tuple[int, Callable[[], NDArray[np.uint8]]]],
    wanted: NDArray[np.bool_] | None,
    meta: Any,
    camera: CameraFeature,
) -> Iterator[ImageBatch]:
    """The wanted rows' images (B, H, W, 3), a few at a time; the others are not converted to RGB."""
    rows, images = list[int](), list[NDArray[np.uint8]]()
    for row, to_rgb in frames:
        if wanted is not None and not wanted[row]:
            continue
        image = to_rgb()  # (H, W, 3)
        check_image_size(image, meta, camera, row)
        rows.append(row)
        images.append(image)
        if len(rows) == _BATCH:
            yield np.array(rows), np.stack(images)
            rows, images = [], []
    if rows:
        yield np.array(rows), np.stack(images)


def check_image_size(image: NDArray[np.uint8], meta: Any, camera: CameraFeature, row: int) -> None:
    """Raises DatasetError if an image (H, W, 3) has not the size that the dataset states."""
    if image.shape[:2] != (camera.height, camera.width):
        raise DatasetError(
            f"dataset {meta.root}: camera {camera.name}, row {row}: its image has {image.shape[1]}x"
            f"{image.shape[0]} pixels (width x height); info.json says {camera.width}x{camera.height}"
        )


def resize_images(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (B, H, W, 3) to (B, h, w, 3) with the filter that the policy uses on the robot.

    It computes in integers: 20 times faster than floating point, and at most one level of 255 different.
    """
    if images.shape[1:3] == tuple(size):
        return images
    import torch  # here, because it takes seconds, and who only lists a dataset does not need it
    from torch.nn import functional

    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)  # (B, 3, H, W)
    resized = functional.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
    return resized.permute(0, 2, 3, 1).contiguous().numpy()

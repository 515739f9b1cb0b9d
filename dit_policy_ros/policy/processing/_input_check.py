# SPDX-License-Identifier: Apache-2.0
"""Checks a policy's inputs against what its checkpoint expects."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.lerobot_keys import IMAGE_PREFIX


def check_images(
    images: Mapping[str, NDArray[np.uint8]], shapes: Mapping[str, tuple[int, int]], n_obs_steps: int
) -> None:
    """Raise StreamError unless each camera has uint8 (n_obs, height, width, 3).

    Args:
        images: by camera name.
        shapes: the checkpoint's cameras, each with height and width [pixel].
        n_obs_steps: frames per camera.
    """
    if set(images) != set(shapes):
        raise StreamError(
            f"images: expected the checkpoint's cameras {sorted(shapes)}, got {sorted(images)}; "
            f"use the names in its config.json without '{IMAGE_PREFIX}'"
        )
    for name, (height, width) in shapes.items():
        image, expected = images[name], (n_obs_steps, height, width, 3)
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != expected:
            raise StreamError(
                f"images[{name!r}]: expected uint8 {expected} (n_obs, height, width, RGB), "
                f"got {_describe(image)}"
            )


def check_array(
    name: str, array: NDArray[np.float32], expected: tuple[int, int], entries: Sequence[str] = ()
) -> None:
    """Raise StreamError unless ``array`` is finite float32 of the expected shape.

    Args:
        name: of the input, for messages.
        array: the input.
        expected: the expected shape.
        entries: names of its columns, if known.
    """
    if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.shape != expected:
        raise StreamError(f"{name}: expected float32 {expected}, got {_describe(array)}")
    if not np.isfinite(array).all():
        step, entry = np.argwhere(~np.isfinite(array))[0]
        joint = f" ({entries[entry]})" if entry < len(entries) else ""
        raise StreamError(
            f"{name}: expected finite numbers, got {array[step, entry]} at [{step}, {entry}]{joint}"
        )


def _describe(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__

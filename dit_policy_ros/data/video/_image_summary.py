# SPDX-License-Identifier: Apache-2.0
"""Summarises the images of one camera: statistics for training, and signs of a faulty camera.

8-bit images have 256 levels, so a histogram gives every statistic exactly, in 6 KB for any episode length.
Large images are subsampled first, as LeRobot does for its own statistics.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SUBSAMPLED_SIDE = 150  # [pixel] approximate longer side after subsampling
_LARGE_SIDE = 300  # [pixel] images with a shorter longer side are not subsampled
_DARK, _BRIGHT = 5, 250  # levels up to _DARK count as black, from _BRIGHT as white
_CLIPPED = 0.98  # an image with this share of black or of white values counts as clipped
QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
_LEVELS = np.arange(256)


@dataclass(slots=True)
class ImageSummary:
    """Counts over the images added so far.

    frames: images. frozen: new images that equal the previous one in all subsampled pixels. clipped: images
    that are all black or all white. levels: histogram per channel (3, 256).
    """

    frames: int = 0
    frozen: int = 0
    clipped: int = 0
    levels: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 256), dtype=np.int64))
    _last: NDArray[np.uint8] | None = None

    def add(self, image: NDArray[np.uint8], fresh: bool) -> None:
        """Counts an image (h, w, 3) RGB. fresh: false if the image is known to repeat the previous one."""
        factor = subsampling_factor(*image.shape[:2])
        small = np.ascontiguousarray(image[::factor, ::factor])  # (h', w', 3)
        counts = np.stack([np.bincount(small[..., c].ravel(), minlength=256) for c in range(3)])  # (3, 256)
        self.levels += counts
        self.frames += 1
        if fresh and self._last is not None and np.array_equal(self._last, small):
            self.frozen += 1
        limit = _CLIPPED * counts.sum()
        if counts[:, : _DARK + 1].sum() >= limit or counts[:, _BRIGHT:].sum() >= limit:
            self.clipped += 1
        self._last = small

    def statistics(self) -> dict[str, NDArray[np.float64]]:
        """In LeRobot's format: each (3, 1, 1) in 0 to 1, and `count` (1,), the number of images."""
        return level_statistics(self.levels) | {"count": np.array([self.frames])}

    def to_json(self) -> dict[str, Any]:
        """All counts as JSON values."""
        return {
            "frames": self.frames,
            "frozen": self.frozen,
            "clipped": self.clipped,
            "levels": self.levels.tolist(),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "ImageSummary":
        """Reads what `to_json` returned."""
        levels = np.array(stored["levels"], dtype=np.int64)  # (3, 256)
        if (
            levels.shape != (3, 256)
            or levels.min() < 0
            or (stored["frames"] and not levels.sum(axis=1).all())
        ):
            raise ValueError(f"levels: expected counts of 256 levels of 3 colours, got {levels.shape}")
        return cls(stored["frames"], stored["frozen"], stored["clipped"], levels)


def level_statistics(levels: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Statistics from a histogram per channel (3, 256); see `ImageSummary.statistics`."""
    count = levels.sum(axis=1)  # (3,)
    mean = levels @ _LEVELS / count  # (3,)
    variance = np.einsum("cl,cl->c", levels, (_LEVELS - mean[:, None]) ** 2) / count
    present = levels > 0
    values = {
        "min": present.argmax(axis=1),
        "max": 255 - present[:, ::-1].argmax(axis=1),
        "mean": mean,
        "std": np.sqrt(variance),
    }
    cumulated = levels.cumsum(axis=1)  # (3, 256)
    for name, quantile in QUANTILES.items():
        values[name] = (cumulated >= quantile * count[:, None]).argmax(axis=1)
    return {name: (value / 255.0).reshape(3, 1, 1) for name, value in values.items()}


def subsampling_factor(height: int, width: int) -> int:
    """LeRobot uses every n-th row and column of an image of this size for its statistics; returns n."""
    longer = max(height, width)
    return 1 if longer < _LARGE_SIDE else longer // _SUBSAMPLED_SIDE

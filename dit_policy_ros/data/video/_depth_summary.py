# SPDX-License-Identifier: Apache-2.0
"""Summarises the images of a depth camera: statistics in its unit, and signs of a faulty camera."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.data.video._image_summary import QUANTILES, ImageSummary, subsampling_factor

_NO_DISTANCE = 0.98  # an image with this share of pixels without a distance counts as clipped
_BIN = {"mm": 1.0, "m": 0.001}  # width of the histogram's bins, in the unit
_BINS = 65536


class DepthSummary:
    """Counts over the depth images added so far; the counterpart of ImageSummary.

    A histogram with bins of a millimetre, 0 to 65 m, gives the statistics. Pixels without a finite value are
    left out of it: they have no distance. 0 is a value, as for LeRobot, though cameras mean "no distance".

    Attributes:
        frames: images. frozen: new images that equal the one before in all subsampled pixels. clipped: images
            that have no distance anywhere (0 or not finite).
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self.frames, self.frozen, self.clipped = 0, 0, 0
        self._bins = np.zeros(_BINS, dtype=np.int64)  # (B,)
        self._last: np.ndarray | None = None

    def add(self, image: NDArray[Any], fresh: bool) -> None:
        """Counts an image (h, w, 1). fresh: false if the image is known to repeat the previous one."""
        factor = subsampling_factor(*image.shape[:2])
        small = np.ascontiguousarray(image[::factor, ::factor, 0])  # (h', w')
        valid = np.isfinite(small)
        bins = np.rint(np.clip(small[valid] / _BIN[self._unit], 0, _BINS - 1)).astype(np.int64)
        self._bins += np.bincount(bins, minlength=_BINS)
        self.frames += 1
        is_same = self._last is not None and np.array_equal(
            self._last, small, equal_nan=small.dtype.kind == "f"
        )
        self.frozen += int(fresh and is_same)
        self.clipped += int(np.count_nonzero(valid & (small > 0)) <= (1.0 - _NO_DISTANCE) * small.size)
        self._last = small

    def statistics(self) -> dict[str, NDArray[np.float64]]:
        """In LeRobot's format: each (1, 1, 1) in the images' unit, and `count` (1,), the number of images."""
        count = int(self._bins.sum())
        bins = self._bins if count else np.eye(1, _BINS, dtype=np.int64)[0]  # (B,) without any: all 0
        values, total = np.arange(_BINS), int(bins.sum())
        mean = float(bins @ values) / total
        present, cumulated = np.flatnonzero(bins), bins.cumsum()
        found = {
            "min": float(present[0]),
            "max": float(present[-1]),
            "mean": mean,
            "std": float(np.sqrt(bins @ (values - mean) ** 2 / total)),
        }
        found |= {name: float(np.argmax(cumulated >= share * total)) for name, share in QUANTILES.items()}
        scaled = {name: np.array(value * _BIN[self._unit]).reshape(1, 1, 1) for name, value in found.items()}
        return scaled | {"count": np.array([self.frames])}

    def to_json(self) -> dict[str, Any]:
        """All counts as JSON values."""
        present = np.flatnonzero(self._bins)
        counts = {"frames": self.frames, "frozen": self.frozen, "clipped": self.clipped}
        return counts | {"depth": [self._unit, present.tolist(), self._bins[present].tolist()]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "DepthSummary":
        """Reads what `to_json` returned."""
        unit, present, counts = stored["depth"]
        summary = cls(unit)
        summary.frames, summary.frozen, summary.clipped = (
            stored[name] for name in ("frames", "frozen", "clipped")
        )
        summary._bins[np.array(present, dtype=np.int64)] = counts
        return summary


type Summary = ImageSummary | DepthSummary


def new_summary(depth_unit: str) -> Summary:
    """A summary of no images yet, of a camera with this depth unit."""
    return DepthSummary(depth_unit) if depth_unit else ImageSummary()


def read_summary(stored: Mapping[str, Any]) -> Summary:
    """Reads what `to_json` of a summary returned."""
    return (DepthSummary if "depth" in stored else ImageSummary).from_json(stored)

# SPDX-License-Identifier: Apache-2.0
"""The statistics in a dataset's `meta/stats.json`, checked, and merged for several datasets.

Shapes: M rows, D entries of a vector.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.problems import listing, show
from dit_policy_ros.data.dataset._demonstrations import STATISTICS
from dit_policy_ros.data.description import VectorFeature
from dit_policy_ros.data.lerobot_calls import preserve_root_logger

_MERGED = ("min", "max", "mean", "std", "count")  # what LeRobot needs of each to merge several
_PART = 1 << 20  # rows that are looked at together
_ROUNDING = 0.01  # of an entry's range, and
_LEAST = 1e-3  # [rad or m, ...] by which rows may lie outside; whoever wrote the statistics may have rounded
_REMEDY = "Compute them again with lerobot-edit-dataset --operation.type recompute_stats"


def read_statistics(
    metas: Sequence[Any],
    tables: Sequence[Mapping[str, NDArray]],
    keys: Sequence[str],
    further: Sequence[VectorFeature],
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Statistics by feature, of all datasets together.

    Args:
        metas: LeRobot's metadata of each dataset.
        tables: of each dataset, the vectors' rows (M, D) by key.
        keys: features to return: cameras, state, action and the ``further`` vectors, whose statistics have
            one axis, as they are read.
        further: those vectors.

    Raises:
        DatasetError: statistics are missing, are no finite numbers, have another length than their vector, or
            are of other rows than the dataset's.
    """
    with preserve_root_logger():
        from lerobot.datasets.compute_stats import aggregate_stats
    flat = {vector.key: vector.shape for vector in further}
    for meta, table in zip(metas, tables, strict=True):
        found = meta.stats or {}
        absent = [key for key in keys if key not in found]
        if absent:
            raise DatasetError(f"dataset {meta.root}: meta/stats.json lacks {listing(absent)}")
        for key in keys:
            group = _checked(meta, key, len(metas) > 1)
            if key in table:
                _check_range(meta, key, _as_read(group, flat.get(key)), table[key])
    merged = metas[0].stats
    if len(metas) > 1:
        merged = aggregate_stats([_with_image_counts(meta, keys) for meta in metas])
    return {
        key: _as_read(
            {name: np.asarray(merged[key][name], np.float32) for name in STATISTICS if name in merged[key]},
            flat.get(key),
        )
        for key in keys
    }


def _checked(meta: Any, key: str, is_merged: bool) -> dict[str, NDArray[np.float32]]:
    """A feature's statistics in one dataset. Raises DatasetError."""
    group, source = meta.stats[key], f"dataset {meta.root}: meta/stats.json: {key}"
    if not isinstance(group, Mapping):
        raise DatasetError(f"{source}: expected statistics by name, got {show(group)}. {_REMEDY}")
    absent = [name for name in _MERGED if is_merged and name not in group]
    if absent:
        raise DatasetError(f"{source} lacks {listing(absent)}, needed to read several datasets. {_REMEDY}")
    return {name: _numbers(meta, key, name, group[name]) for name in STATISTICS if name in group}


def _numbers(meta: Any, key: str, name: str, value: Any) -> NDArray[np.float32]:
    """A statistic of a feature. Raises DatasetError if it is no finite numbers, or of another shape."""
    source, shape = f"dataset {meta.root}: meta/stats.json: {key}.{name}", tuple(meta.features[key]["shape"])
    try:
        values = np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{source}: expected numbers, got {show(value)}. {_REMEDY}") from error
    if not np.isfinite(values).all():
        raise DatasetError(f"{source}: expected finite numbers, got {show(values.tolist())}. {_REMEDY}")
    is_image = len(shape) == 3 and meta.features[key]["dtype"] in ("video", "image")
    if is_image:
        if values.shape not in ((3, 1, 1), (1, 1, 1)) or values.min() < 0.0 or values.max() > 1.001:
            raise DatasetError(
                f"{source}: expected a number from 0 to 1 for each colour, of shape (3, 1, 1), got "
                f"{show(values.tolist())}. {_REMEDY}"
            )
    elif len(shape) == 1 and values.shape != shape:
        raise DatasetError(
            f"{source}: expected {shape[0]} numbers, got an array of shape {values.shape}. {_REMEDY}"
        )
    elif len(shape) > 1 and not _fits(values.shape, shape):
        raise DatasetError(f"{source}: expected the shape {shape}, got {values.shape}. {_REMEDY}")
    return values


def _fits(own: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether statistics of shape ``own`` are of arrays of ``shape``; LeRobot has one for all their rows."""
    try:
        return np.broadcast_shapes(own, shape) == shape
    except ValueError:
        return False


def _as_read(
    group: Mapping[str, NDArray[np.float32]], shape: tuple[int, ...] | None
) -> dict[str, NDArray[np.float32]]:
    """Statistics of a vector of this ``shape`` with one axis, as it is read; None leaves them."""
    if shape is None:
        return dict(group)
    return {name: np.array(np.broadcast_to(value, shape)).reshape(-1) for name, value in group.items()}


def _check_range(meta: Any, key: str, group: Mapping[str, NDArray[np.float32]], rows: NDArray) -> None:
    """Raises DatasetError if rows (M, D) lie outside the smallest and largest value of their statistics."""
    if "min" not in group or "max" not in group:
        return
    low, high = group["min"], group["max"]  # (D,)
    room = np.maximum(_ROUNDING * (high - low), _LEAST * np.maximum(1.0, np.abs(high)))
    for begin in range(0, len(rows), _PART):
        part = rows[begin : begin + _PART]
        least, most = part.min(axis=0), part.max(axis=0)
        # Values that are not finite are named with their row later.
        outside = np.flatnonzero((least < low - room) | (most > high + room))
        if len(outside):
            entry = int(outside[0])
            raise DatasetError(
                f"dataset {meta.root}: meta/stats.json says that entry {entry} of {key} is from "
                f"{low[entry]:.4g} to {high[entry]:.4g}, and the rows have {least[entry]:.4g} to "
                f"{most[entry]:.4g}: the statistics are of other data, and a policy would see wrong values. "
                f"{_REMEDY}"
            )


def _with_image_counts(meta: Any, keys: Sequence[str]) -> dict[str, dict[str, NDArray]]:
    """A dataset's statistics; those of images count images, not their pixels as earlier versions wrote it."""
    most = np.array([meta.total_frames])
    return {key: meta.stats[key] | {"count": np.minimum(meta.stats[key]["count"], most)} for key in keys}

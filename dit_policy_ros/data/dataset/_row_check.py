# SPDX-License-Identifier: Apache-2.0
"""Checks that a dataset's tables agree with one another, before anything is learned from them.

LeRobot trusts its metadata of the episodes. Where these are wrong, rows get pictures of other episodes or
black ones, and nothing fails.

Shapes: E episodes, M rows.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError

ROW_COLUMNS = ("episode_index", "timestamp")
"""The columns that `check_rows` needs beside `index`."""

_PLACES = ("episode_index", "length", "dataset_from_index", "dataset_to_index")
_PART = 1 << 16  # rows that are looked at together, and most steps of which the rate is the median
_RATE_TOLERANCE = 0.1  # of the rate: stamps may jitter, but not run at another speed
_REMEDY = "The tables were edited, or are of different versions: take the original, or convert the data again"


def check_episodes(meta: Any) -> None:
    """Raises DatasetError unless LeRobot's metadata list all episodes in order, one behind the other."""
    table = meta.episodes.select_columns(list(_PLACES)).with_format("numpy")[: meta.total_episodes]
    number, length, first, end = (np.asarray(table[name]).reshape(-1) for name in _PLACES)  # (E,) each
    ends = np.cumsum(length)
    wrong = (number != np.arange(len(number))) | (length < 1) | (first != ends - length) | (end != ends)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        before = int(ends[row] - length[row])
        raise DatasetError(
            f"dataset {meta.root}: meta/episodes: row {row}: expected episode {row} with the rows from "
            f"{before} on, got episode {number[row]} with {length[row]} rows, {first[row]} to {end[row]}. "
            f"{_REMEDY}"
        )
    if len(ends) != meta.total_episodes or ends[-1] != meta.total_frames:
        raise DatasetError(
            f"dataset {meta.root}: meta/episodes has {len(ends)} episodes with {ends[-1]} rows, "
            f"meta/info.json says {meta.total_episodes} with {meta.total_frames}. {_REMEDY}"
        )


def check_rows(meta: Any, columns: Mapping[str, NDArray]) -> None:
    """Checks the rows against LeRobot's metadata, and their times against the rate.

    Args:
        meta: LeRobot's metadata, which `check_episodes` has accepted.
        columns: `index` and ROW_COLUMNS of all rows, in the order of their index.

    Raises:
        DatasetError: two rows have one index, a row is of another episode than the metadata say, or an
            episode's times go back or run at another rate than `fps`.
    """
    source = f"dataset {meta.root}: data"
    index, episode = columns["index"].reshape(-1), columns["episode_index"].reshape(-1)  # (M,)
    stamps = columns["timestamp"].reshape(-1)  # (M,) [s]
    ends = np.asarray(meta.episodes.with_format("numpy")["dataset_to_index"][: meta.total_episodes])  # (E,)
    if len(index) != meta.total_frames:
        raise DatasetError(f"{source}: {len(index)} rows, expected {meta.total_frames}. {_REMEDY}")
    for begin in range(0, len(index), _PART):
        part = index[begin : begin + _PART + 1]
        twice = np.flatnonzero(part[1:] == part[:-1])
        if len(twice):
            raise DatasetError(f"{source}: several rows have the index {part[twice[0]]}. {_REMEDY}")
        rows = np.arange(begin, min(begin + _PART, len(index)))
        expected = np.searchsorted(ends, rows, side="right")
        wrong = np.flatnonzero(episode[rows] != expected)
        if len(wrong):
            row = wrong[0]
            raise DatasetError(
                f"{source}: row {rows[row]} is of episode {episode[rows[row]]}, and of episode "
                f"{expected[row]} by meta/episodes. {_REMEDY}"
            )
    _check_times(source, meta.fps, ends, stamps)


def _check_times(source: str, fps: float, ends: NDArray[np.int64], stamps: NDArray[np.floating]) -> None:
    """ends: (E,) row after each episode's last. stamps: (M,) [s]."""
    starts = ends - np.diff(ends, prepend=0)  # (E,)
    is_long = ends - starts > 1
    backward = np.flatnonzero(is_long & ~(stamps[ends - 1] > stamps[starts]))
    if len(backward):
        episode = backward[0]
        raise DatasetError(
            f"{source}: the times (timestamp) of episode {episode} go from {stamps[starts[episode]]:.4g} s "
            f"to {stamps[ends[episode] - 1]:.4g} s; expected them to increase. {_REMEDY}"
        )
    count = min(len(stamps) - 1, _PART)
    rows = np.linspace(0, len(stamps) - 2, count).astype(np.int64) if count > 0 else np.empty(0, np.int64)
    rows = rows[np.searchsorted(ends, rows, side="right") == np.searchsorted(ends, rows + 1, side="right")]
    if not len(rows):
        return
    step = float(np.median(stamps[rows + 1].astype(np.float64) - stamps[rows]))  # [s]
    if not abs(step * fps - 1.0) <= _RATE_TOLERANCE:
        raise DatasetError(
            f"{source}: the rows are {step:.4g} s apart, and meta/info.json says fps {fps:g}, which is "
            f"{1 / fps:.4g} s: a policy would move at another speed. Correct the one that is wrong"
        )

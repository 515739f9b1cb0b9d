# SPDX-License-Identifier: Apache-2.0
"""Angles of joints that turn without end: a whole turn more or less is the same place."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TURN = 2.0 * np.pi


def nearest(values: Array, reference: Array, circular: NDArray[np.bool_]) -> Array:
    """The values (..., A) that mean the same and lie within half a turn of ``reference`` (..., A) [rad].

    Only columns that are ``circular`` (A,) are changed.
    """
    if not circular.any():
        return values
    turns = np.where(circular, np.round((reference - values) / _TURN), 0.0)  # (..., A)
    return values + _TURN * turns


def unwrapped(rows: Array, start: Array, circular: NDArray[np.bool_]) -> Array:
    """Rows (K, A) without leaps, going on from ``start`` (A,) [rad]; each row takes the short way."""
    if not circular.any():
        return rows
    result = rows.copy()  # (K, A)
    joined = np.concatenate([start[None], rows])[:, circular]  # (K + 1, C)
    result[:, circular] = np.unwrap(joined, axis=0)[1:]
    return result

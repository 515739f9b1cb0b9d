# SPDX-License-Identifier: Apache-2.0
"""Angles of continuous joints, where a whole turn more or less is the same place."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TURN = 2.0 * np.pi


def nearest_turn(values: Array, reference: Array, continuous: NDArray[np.bool_]) -> Array:
    """Shifts ``values`` (..., A) by whole turns to within half a turn of ``reference`` (..., A) [rad].

    Only columns where ``continuous`` (A,) is true are changed.
    """
    if not continuous.any():
        return values
    turns = np.where(continuous, np.round((reference - values) / _TURN), 0.0)  # (..., A)
    return values + _TURN * turns


def unwrap(rows: Array, start: Array, continuous: NDArray[np.bool_]) -> Array:
    """Removes jumps by whole turns from ``rows`` (K, A), which follow ``start`` (A,) [rad].

    From row to row a joint takes the short way. Only columns where ``continuous`` (A,) is true are changed.
    """
    if not continuous.any():
        return rows
    result = rows.copy()  # (K, A)
    joined = np.concatenate([start[None], rows])[:, continuous]  # (K + 1, C)
    result[:, continuous] = np.unwrap(joined, axis=0)[1:]
    return result

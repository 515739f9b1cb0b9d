# SPDX-License-Identifier: Apache-2.0
"""Notices a policy that commands no motion: output collapse, or a task that is done."""

import numpy as np
from numpy.typing import NDArray


class IdleWatch:
    """Measures for how long no joint has left the surroundings of where it was commanded to stand."""

    def __init__(self, noticeable: NDArray[np.float64]) -> None:
        """noticeable: (A,) how far a joint must go for it to count as motion [rad or m]."""
        self._noticeable = noticeable
        self._anchor: NDArray[np.float64] | None = None  # (A,)
        self._since_ns = 0

    def update(self, commanded: NDArray[np.float64], steady_ns: int) -> float:
        """Take in the commanded positions (A,) at a time of a clock that never jumps; returns seconds."""
        if self._anchor is None or (np.abs(commanded - self._anchor) > self._noticeable).any():
            self._anchor, self._since_ns = commanded.copy(), steady_ns
        return (steady_ns - self._since_ns) * 1e-9

    def restart(self) -> None:
        """Begin to count anew: motion was not wanted meanwhile, or the task has changed."""
        self._anchor = None

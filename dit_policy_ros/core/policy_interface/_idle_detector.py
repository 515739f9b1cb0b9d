# SPDX-License-Identifier: Apache-2.0
"""Detects a policy that commands no motion: its output has collapsed, or its task is done."""

import numpy as np
from numpy.typing import NDArray


class IdleDetector:
    """Measures for how long the commanded positions have stayed almost the same."""

    def __init__(self, threshold: NDArray[np.float64]) -> None:
        """threshold: (A,) how far a joint must move to count as motion [rad or m]."""
        self._threshold = threshold
        self._anchor: NDArray[np.float64] | None = None  # (A,) commanded when the idle time began
        self._since_ns = 0

    def update(self, commanded: NDArray[np.float64], steady_ns: int) -> float:
        """The idle time [s], given the positions (A,) commanded at ``steady_ns`` of a monotonic clock."""
        if self._anchor is None or (np.abs(commanded - self._anchor) > self._threshold).any():
            self._anchor, self._since_ns = commanded.copy(), steady_ns
        return (steady_ns - self._since_ns) * 1e-9

    def reset(self) -> None:
        """Restart the idle time at zero: no motion was expected, or the task has changed."""
        self._anchor = None

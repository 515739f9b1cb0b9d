# SPDX-License-Identifier: Apache-2.0
"""Servos that obey late, as those of real arms do."""

from collections import deque

import numpy as np


class CommandDelay:
    """Keeps commands back for a number of physics steps.

    Attributes:
        steps: how long; 0 passes commands on at once.
    """

    def __init__(self, steps: int = 0) -> None:
        """steps: see the class."""
        self.steps = steps
        self._late: deque[np.ndarray] = deque()  # (A,) each, oldest first

    def passed(self, command: np.ndarray, present: np.ndarray) -> np.ndarray:
        """What arrives when ``command`` (A,) is sent; ``present`` (A,) before the first one arrives."""
        if not self.steps:
            return command
        self._late.append(command.copy())
        return self._late.popleft() if len(self._late) > self.steps else present

    def clear(self) -> None:
        """Forget the commands under way: the robot was put elsewhere."""
        self._late.clear()

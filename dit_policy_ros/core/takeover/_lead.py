# SPDX-License-Identifier: Apache-2.0
"""The interface of what drives the arms instead of the policy."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Lead(Protocol):
    """Says where the led joints should be. It is asked at every tick, under the motion's lock."""

    @property
    def text(self) -> str:
        """What the person at the robot should know or do now."""
        ...

    def fault(self, now_ns: int) -> str:
        """Why the arms must hold at ``now_ns`` [ns]; empty if they need not."""
        ...

    def actions(self, times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Positions (T, A) of all joints at ``times_ns`` (T,) [ns]; those that are not led do not count."""
        ...

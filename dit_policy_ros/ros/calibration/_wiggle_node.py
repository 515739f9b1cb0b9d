# SPDX-License-Identifier: Apache-2.0
"""An inference node without a policy: its chunks are a gentle motion about the pose at its activation."""

import threading
from typing import Any

import numpy as np

from dit_policy_ros.core.calibration import Wiggle
from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.errors import CalibrationError
from dit_policy_ros.ros.chunk_source import ChunkSource, SourceFacts

TASK = "calibrate"
_CHUNK = 1.5  # [s] covered by a chunk


class WiggleNode(ChunkSource):
    """Answers a policy node's requests; until ``begin`` the arms stand."""

    def __init__(self, name: str, contract: Contract, **options: Any) -> None:
        """Wait to be configured by the policy node; arguments as of ``ChunkSource``."""
        super().__init__(name, contract, SourceFacts(TASK, "a gentle motion, no policy", _CHUNK), **options)
        self._pose = np.zeros(0)  # (A,) where the arms stand
        self._motion: tuple[Wiggle, int] | None = None  # and when it began [ns]
        self._lock = threading.Lock()

    @property
    def pose(self) -> np.ndarray:
        """Where the arms stand, (A,) [rad or m]; empty before the activation."""
        return self._pose

    def start(self) -> None:
        """Stand where the robot is."""
        sample = None if self.joints is None else self.joints.newest()
        if sample is None:
            raise CalibrationError("no joint states have come, so it is not known where the robot is")
        with self._lock:
            self._pose, self._motion = np.array(sample.value), None
        super().start()

    def begin(self, motion: Wiggle, after: float) -> int:
        """Make this motion ``after`` so long [s]; returns when it begins [ns]."""
        begin_ns = self.get_clock().now().nanoseconds + round(after * NANOSECONDS)
        with self._lock:
            self._motion = motion, begin_ns
        return begin_ns

    def stand(self) -> None:
        """Go back to where the arms stood at the activation, and stay there."""
        with self._lock:
            self._motion = None

    def actions(self, times_ns: np.ndarray) -> np.ndarray:
        """Where the joints should be at ``times_ns`` (K,) -> (K, A)."""
        with self._lock:
            if self._motion is None:
                return np.tile(self._pose, (len(times_ns), 1))
            motion, begin_ns = self._motion
        return motion.at((times_ns - begin_ns) / NANOSECONDS)

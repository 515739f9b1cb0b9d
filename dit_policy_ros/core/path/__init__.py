# SPDX-License-Identifier: Apache-2.0
"""Motion along a path, within limits: coupled joints go slower where they must, on the same path."""

from dit_policy_ros.core.path._limits import LIMIT_NAMES, LimitedMotion, Limiter, Target
from dit_policy_ros.core.path._path_clock import PathClock
from dit_policy_ros.core.path._path_motion import Path, PathDriver, PathMotion

__all__ = [
    "LIMIT_NAMES",
    "LimitedMotion",
    "Limiter",
    "Path",
    "PathClock",
    "PathDriver",
    "PathMotion",
    "Target",
]

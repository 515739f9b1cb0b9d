# SPDX-License-Identifier: Apache-2.0
"""Whether motion may start from a pose: the same rule at activation and at every resume."""

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Limits


def joints_outside_limits(
    pose: NDArray[np.float64], limits: Limits, tolerance: NDArray[np.float64], joints: tuple[str, ...]
) -> list[str]:
    """One line, with its remedy, for each joint that is further outside its limits than tolerated.

    Closer to its limits a joint can start: the first plan leads it back within its velocity and acceleration
    limits.

    Args:
        pose: (A,) [rad or m].
        limits: of the joints.
        tolerance: (A,) how far outside is tolerated, from sag and calibration [rad or m].
        joints: their names.
    """
    outside = np.maximum(limits.position_min - pose, pose - limits.position_max)  # (A,) distance [rad or m]
    return [
        f"{joints[i]} is at {pose[i]:.4g}, outside its limits [{limits.position_min[i]:g}, "
        f"{limits.position_max[i]:g}] (limits.{joints[i]}) by more than {tolerance[i]:g}: move it back by "
        "hand, or correct the contract"
        for i in np.flatnonzero(outside > tolerance)
    ]

# SPDX-License-Identifier: Apache-2.0
"""How smoothly the arms move."""

from collections.abc import Sequence

import numpy as np

_MAX_JITTER = 0.2  # of the usual interval between samples


def rms_jerk(velocities: Sequence[tuple[int, Sequence[float]]]) -> float | None:
    """Root mean square of the joints' jerk [rad/s^3]; None without three samples in a row at one interval.

    Args:
        velocities: samples of stamp [ns] and joint velocities [rad/s].
    """
    if len(velocities) < 3:
        return None
    times = np.array([stamp for stamp, _ in velocities]) * 1e-9  # (N,) [s]
    values = np.array([each for _, each in velocities])  # (N, joints)
    steps = np.diff(times)  # (N - 1,)
    usual = float(np.median(steps))
    is_regular = np.abs(steps - usual) < _MAX_JITTER * usual  # (N - 1,)
    counted = is_regular[1:] & is_regular[:-1]  # (N - 2,)
    if usual <= 0 or not counted.any():
        return None
    jerk = np.diff(values, n=2, axis=0)[counted] / usual**2  # (M, joints)
    return float(np.sqrt(np.mean(jerk**2)))

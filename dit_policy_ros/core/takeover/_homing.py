# SPDX-License-Identifier: Apache-2.0
"""The slow way to the rest pose."""

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.continuous_joints import nearest_turn
from dit_policy_ros.core.contract import NANOSECONDS, Limits
from dit_policy_ros.core.motion import Plan

Array = NDArray[np.float64]

_SPEED_SHARE, _ACCELERATION_SHARE = 0.2, 0.3  # of the limits
_SHORTEST = 1.0  # [s]
_PEAK_SPEED, _PEAK_ACCELERATION = 1.875, 5.774  # of a quintic over 1 in 1 s


class HomingLead:
    """Brakes, then goes straight to a pose at a fifth of the velocity limits, and stays there.

    Args:
        base: how the arms brake from now on.
        pose: (A,) where they go [rad or m].
        limits: of the joints.
        velocity_scale: further fraction (0 to 1) of the velocity limits.
    """

    def __init__(self, base: Plan, pose: Array, limits: Limits, velocity_scale: float = 1.0) -> None:
        self._base, self._rest = base, base.positions[-1]  # (A,)
        self._way = nearest_turn(pose, self._rest, limits.continuous) - self._rest  # (A,)
        self._begin_ns = int(base.times_ns[max(len(base.times_ns) - 2, 0)])  # the brake ends there
        distance = np.abs(self._way)  # (A,)
        speed = _SPEED_SHARE * velocity_scale * limits.velocity  # (A,)
        by_speed = _PEAK_SPEED * distance / speed  # (A,) [s]
        by_acceleration = np.sqrt(_PEAK_ACCELERATION * distance / (_ACCELERATION_SHARE * limits.acceleration))
        self.duration = max(float(np.maximum(by_speed, by_acceleration).max()), _SHORTEST)  # [s]
        self._now_ns = self._begin_ns

    @property
    def end_ns(self) -> int:
        """When the arms should be there [ns]."""
        return self._begin_ns + round(self.duration * NANOSECONDS)

    @property
    def text(self) -> str:
        """See Lead."""
        left = (self.end_ns - self._now_ns) / NANOSECONDS  # [s]
        if left <= 0.0:
            return "the arms are at the rest pose; ~/resume lets the policy go on"
        return f"the arms move to the rest pose, {left:.0f} s are left"

    def fault(self, now_ns: int) -> str:
        """See Lead."""
        self._now_ns = now_ns
        return ""

    def actions(self, times_ns: NDArray[np.int64]) -> Array:
        """See Lead."""
        base, _ = self._base.sample(times_ns)  # (T, A)
        u = np.clip((times_ns - self._begin_ns) / (self.duration * NANOSECONDS), 0.0, 1.0)[:, None]  # (T, 1)
        return base + u**3 * (10.0 - 15.0 * u + 6.0 * u * u) * self._way

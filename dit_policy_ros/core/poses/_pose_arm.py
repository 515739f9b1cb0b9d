# SPDX-License-Identifier: Apache-2.0
"""An arm that is commanded by the pose of its end effector, and what bounds its motion."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.poses._chart import COORDINATES, PoseChart

MAX_ROTATION = 3.0  # [rad] from the reference orientation: half a turn away a pose has no unique coordinates
EDGE = np.array([0.02] * 3 + [0.1] * 3)  # (6,) [m, rad]
"""A policy may ask for poses this far outside the workspace; they are limited to it. Others are refused."""
EDGE.flags.writeable = False
_AXES = 3
SHARE_OF_AXIS = 1.0 / math.sqrt(_AXES)
"""The share of a limit that each axis gets: the three together then keep the limit in any direction."""


@dataclass(frozen=True, slots=True)
class PoseArm:
    """An arm whose controller takes poses of its end effector.

    name: of the arm, as `joints` of the contract has it. frame: in which poses are given. end_effector: the
    link that they are of; empty if the contract does not say. state_topic: of the measured poses. rate [Hz]:
    how often a target is published. chart: of its coordinates. max_rotation [rad]: how far the end effector
    may turn from the chart's orientation.
    """

    name: str
    frame: str
    state_topic: str
    rate: float
    chart: PoseChart
    max_rotation: float
    end_effector: str = ""

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of its six coordinates among the contract's joints."""
        return tuple(f"{self.name}.{name}" for name in COORDINATES)

    def outside(self, rows: NDArray, box: tuple[NDArray, NDArray], tolerance: NDArray) -> str:
        """What is outside the workspace, in words; empty if nothing is.

        Args:
            rows: (T, 6) coordinates.
            box: smallest and largest coordinates (6,).
            tolerance: (6,) how far outside still counts as inside.
        """
        low, high = box
        if not np.isfinite(rows).all():  # no comparison below would find it
            return f"a coordinate of {self.name} is not finite"
        excess = np.maximum(low - rows, rows - high)[:, :3] - tolerance[:3]  # (T, 3)
        if (excess > 0.0).any():
            row, axis = np.unravel_index(int(excess.argmax()), excess.shape)
            return (
                f"{COORDINATES[axis]} = {rows[row, axis]:.4g} m of {self.name} is outside the workspace, "
                f"{low[axis]:g} to {high[axis]:g} m (limits.{self.name}.workspace_min, workspace_max)"
            )
        turned = self.chart.turned(rows)  # (T,)
        if turned.max(initial=0.0) > self.max_rotation + tolerance[3:].min():
            return (
                f"{self.name} is turned by {turned.max():.3g} rad from limits.{self.name}.orientation, more "
                f"than its max_rotation of {self.max_rotation:g} rad"
            )
        return ""


def axis_limits(
    linear: tuple[float, float], angular: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Limits of the velocities and accelerations of the six coordinates, (6,) each.

    Any motion within them keeps the limits of the end effector in every direction.

    Args:
        linear: largest velocity [m/s] and acceleration [m/s^2].
        angular: largest velocity [rad/s] and acceleration [rad/s^2].
    """
    turning = angular[1] - turning_acceleration(angular[0])  # [rad/s^2]
    velocity = np.repeat([linear[0], angular[0]], _AXES) * SHARE_OF_AXIS  # (6,)
    return velocity, np.repeat([linear[1], turning], _AXES) * SHARE_OF_AXIS


def turning_acceleration(velocity: float) -> float:
    """What turning at a velocity [rad/s] needs of the angular acceleration at most [rad/s^2] (PoseChart)."""
    return velocity**2 / math.pi

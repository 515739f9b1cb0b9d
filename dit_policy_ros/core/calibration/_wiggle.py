# SPDX-License-Identifier: Apache-2.0
"""A gentle motion about a pose, whose delays can be told: several frequencies, slow, and back at rest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Contract, Limits
from dit_policy_ros.core.errors import CalibrationError

Array = NDArray[np.float64]

# No two are in a simple ratio, so that the motion resembles itself at no other time.
_FREQUENCIES = np.array([0.47, 0.81, 1.27])  # (3,) [Hz]
_PHASES = np.array([0.3, 2.1, 4.4])  # (3,) [rad]
_RAMP = 1.5  # [s] to full amplitude, and back
_SHARE = 0.4  # of a joint's velocity and acceleration limits, and of the way to a position limit
_GRID = 0.01  # [s] on which the motion's extremes are found


@dataclass(frozen=True, slots=True)
class WiggleSettings:
    """How far and for how long.

    Attributes:
        amplitude: of joints that turn [rad].
        amplitude_prismatic: of joints that slide [m].
        duration: of the motion [s].
        velocity_scale: share of the velocity limits that may be used (0 to 1).
    """

    amplitude: float = 0.05
    amplitude_prismatic: float = 0.01
    duration: float = 15.0
    velocity_scale: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Wiggle:
    """The motion of one controller's joints; all others stay.

    Attributes:
        pose: (A,) where it begins and ends [rad or m].
        amplitude: (A,) how far each joint goes [rad or m]; 0 for joints that stay.
        duration: [s].
        peak_velocity: (A,) [rad/s or m/s].
    """

    pose: Array
    amplitude: Array
    duration: float
    peak_velocity: Array

    def at(self, times: Array) -> Array:
        """The positions at ``times`` (K,) [s] from the beginning -> (K, A); at rest before and after."""
        return self.pose + _shape(times, self.duration)[:, None] * self.amplitude


def plan_wiggle(contract: Contract, controller: str, pose: Array, settings: WiggleSettings) -> Wiggle:
    """The largest motion up to the wanted amplitude that stays well within all limits.

    Args:
        contract: joints and limits.
        controller: whose joints move.
        pose: (A,) where the robot is [rad or m].
        settings: how far, and for how long.

    Raises:
        CalibrationError: no joint has room to move.
    """
    limits, columns = contract.limits, contract.indices(controller)
    wanted = np.where(limits.prismatic, settings.amplitude_prismatic, settings.amplitude)  # (A,)
    grid = _GRID * np.arange(round(settings.duration / _GRID), dtype=np.float64)  # (K,)
    shape = _shape(grid, settings.duration)  # (K,)
    speed = float(np.abs(np.gradient(shape, _GRID)).max())  # [1/s] of amplitude 1
    acceleration = float(np.abs(np.gradient(np.gradient(shape, _GRID), _GRID)).max())  # [1/s^2]
    allowed = np.minimum.reduce(
        [
            wanted,
            _room(pose, limits),
            _SHARE * settings.velocity_scale * limits.velocity / speed,
            _SHARE * limits.acceleration / acceleration,
        ]
    )  # (A,)
    amplitude = np.zeros_like(pose)  # (A,)
    amplitude[columns] = np.maximum(allowed[columns], 0.0)
    least = 0.1 * wanted  # (A,) a smaller motion is lost in noise
    amplitude[amplitude < least] = 0.0
    if not amplitude.any():
        raise CalibrationError(
            f"{controller}: no joint has room to move by {settings.amplitude:g} rad where the robot is. Move "
            "it away from its joint limits"
        )
    return Wiggle(pose.copy(), amplitude, settings.duration, speed * amplitude)


def _room(pose: Array, limits: Limits) -> Array:
    """How far each joint may go in both directions, (A,)."""
    return _SHARE * np.minimum(pose - limits.position_min, limits.position_max - pose)


def _shape(times: Array, duration: float) -> Array:
    """The motion with amplitude 1 at ``times`` (K,) -> (K,)."""
    waves = np.sin(2.0 * np.pi * _FREQUENCIES * times[:, None] + _PHASES).sum(axis=1)  # (K,)
    rising = np.clip(np.minimum(times, duration - times) / _RAMP, 0.0, 1.0)  # (K,)
    window = rising**3 * (10.0 - 15.0 * rising + 6.0 * rising**2)  # (K,) smooth up to the acceleration
    return window * waves / len(_FREQUENCIES)

# SPDX-License-Identifier: Apache-2.0
"""Smooths planned joint angles as a leader arm would, within the robot's limits."""

import numpy as np

from dit_policy_ros.sim.robot._robot import ARM_JOINTS

FPS = 30.0  # [Hz] rate of the scripted operator
_STIFFNESS = 7.0  # [1/s] natural frequency of the critically damped tracking
# Limits of config/bimanual.yaml with a margin: velocity and acceleration of arm joints 1 to 6.
_MAX_VELOCITY = np.array([2.2, 2.2, 2.2, 2.6, 2.6, 2.6])  # [rad/s]
_MAX_ACCELERATION = np.array([7.0, 7.0, 7.0, 9.0, 9.0, 9.0])  # [rad/s^2]


class Tracker:
    """Critically damped tracking of a plan by one arm's command (6,) [rad]."""

    def __init__(self) -> None:
        self.begin(np.zeros(ARM_JOINTS))

    def begin(self, position: np.ndarray, planned: np.ndarray | None = None) -> None:
        """Start at rest at joints (6,) [rad]. ``planned`` (6,) is where the plan starts; None: there."""
        self.position = position.copy()
        self._velocity = np.zeros(ARM_JOINTS)  # (6,) [rad/s]
        self._planned = (position if planned is None else planned).copy()

    def follow(self, planned: np.ndarray) -> None:
        """Advance the command one period towards the plan (6,) [rad]."""
        pull = _STIFFNESS**2 * (planned - self.position)
        damping = 2.0 * _STIFFNESS * ((planned - self._planned) * FPS - self._velocity)
        acceleration = np.clip(pull + damping, -_MAX_ACCELERATION, _MAX_ACCELERATION)
        self._velocity = np.clip(self._velocity + acceleration / FPS, -_MAX_VELOCITY, _MAX_VELOCITY)
        self.position = self.position + self._velocity / FPS
        self._planned = planned.copy()

# SPDX-License-Identifier: Apache-2.0
"""Follows planned joint angles as a leader arm would, within the robot's limits."""

import numpy as np

from dit_policy_ros.sim.robot._robot import ARM_JOINTS

FPS = 30.0  # [Hz] at which the scripted operator acts
_STIFFNESS = 7.0  # [1/s] of the critically damped pull onto the planned motion
# Limits of config/bimanual.yaml with a margin: velocity and acceleration of arm joints 1 to 6.
_MAX_VELOCITY = np.array([2.2, 2.2, 2.2, 2.6, 2.6, 2.6])  # [rad/s]
_MAX_ACCELERATION = np.array([7.0, 7.0, 7.0, 9.0, 9.0, 9.0])  # [rad/s^2]


class Tracker:
    """A critically damped pull of one arm's command (6,) [rad] onto a plan."""

    def __init__(self) -> None:
        self.begin(np.zeros(ARM_JOINTS))

    def begin(self, position: np.ndarray, planned: np.ndarray | None = None) -> None:
        """Start at rest at joints (6,) [rad], where the plan wants ``planned`` (6,); None: the same."""
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

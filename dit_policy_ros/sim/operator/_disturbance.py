# SPDX-License-Identifier: Apache-2.0
"""A random error of the arms, so that demonstrations show how to recover."""

import numpy as np

from dit_policy_ros.sim.robot import ARM_JOINTS, FPS, JOINTS

_KNOCK = 0.05  # [rad] standard deviation of a knock per joint; a few cm at the gripper


class Disturbance:
    """A slow random error of the arm joints: a smoothed Ornstein-Uhlenbeck process.

    Knocks move the arms further than the slow error does, as far as a policy's own mistakes may. They decay
    in the same way.
    """

    def __init__(
        self, rng: np.random.Generator, sigma: float, time_constant: float = 0.4, knock_rate: float = 0.0
    ) -> None:
        """sigma: of the slow error [rad]; time_constant: of its decay [s]; knock_rate: of knocks [1/s]."""
        self._rng, self._sigma, self._knock_rate = rng, sigma, knock_rate
        self._decay = float(np.exp(-1.0 / (FPS * time_constant)))
        self._raw = np.zeros(len(JOINTS))
        self._smooth = np.zeros(len(JOINTS))
        self._is_arm = np.array([(i + 1) % (ARM_JOINTS + 1) != 0 for i in range(len(JOINTS))])

    def step(self) -> np.ndarray:
        """Returns the error (14,) [rad] of the next period; it is zero for grippers."""
        kick = self._rng.normal(0.0, self._sigma * np.sqrt(1 - self._decay**2), size=len(JOINTS))
        if self._knock_rate and self._rng.random() < self._knock_rate / FPS:
            kick += self._rng.normal(0.0, _KNOCK, size=len(JOINTS))
        self._raw = self._decay * self._raw + kick
        self._smooth += 0.3 * (self._raw - self._smooth)
        return np.where(self._is_arm, self._smooth, 0.0)

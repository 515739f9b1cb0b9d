# SPDX-License-Identifier: Apache-2.0
"""Where an arm may stand when a task begins, besides home."""

import numpy as np

from dit_policy_ros.sim.kinematics import ArmKinematics
from dit_policy_ros.sim.robot import ARM_JOINTS, SIDES, BimanualSim

_REACH = 0.14  # [m] from the middle of the mat
_HEIGHT = (0.10, 0.22)  # [m] of the tool point: over every cube
_ITERATIONS = 15


class Starts:
    """Puts one arm somewhere over the mat, as if it had just done something else."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._kinematics = {side: ArmKinematics(side) for side in SIDES}

    def place(self, sim: BimanualSim, side: str) -> None:
        """Teleports the arm, at rest; everything else stays where it is."""
        point = np.append(self._rng.uniform(-_REACH, _REACH, size=2), self._rng.uniform(*_HEIGHT))  # (3,) [m]
        pose, first = sim.joint_positions, SIDES.index(side) * (ARM_JOINTS + 1)
        arm = slice(first, first + ARM_JOINTS)
        pose[arm] = self._kinematics[side].solve(pose[arm], point, iterations=_ITERATIONS)
        sim.place(pose)

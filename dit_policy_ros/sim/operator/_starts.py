# SPDX-License-Identifier: Apache-2.0
"""Start poses of an arm besides home, so that demonstrations begin in the middle of work."""

import numpy as np

from dit_policy_ros.sim.operator._hand import OPEN, down
from dit_policy_ros.sim.operator._skills import grasp_pose
from dit_policy_ros.sim.robot import HOME, SIDES, ArmKinematics, BimanualSim, arm_slice
from dit_policy_ros.sim.tasks import Task, first_arm

_REACH = 0.14  # [m] largest x and y from the middle of the mat
_HEIGHT = (0.10, 0.22)  # [m] of the tool point: over every cube
_BESIDE = 0.025  # [m], standard deviation of x and y from where the cube would be grasped
_OVER = (0.04, 0.12)  # [m] height of the tool point above the cube's middle
_TURNED = 0.2  # [rad], standard deviation about z
_ITERATIONS = 15


class StartPoses:
    """Puts one arm into a random start pose. Nothing else moves."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._kinematics = {side: ArmKinematics(side) for side in SIDES}

    def anywhere(self, sim: BimanualSim, side: str) -> None:
        """Teleports the arm to a random place over the mat, at rest."""
        point = np.append(self._rng.uniform(-_REACH, _REACH, size=2), self._rng.uniform(*_HEIGHT))  # (3,) [m]
        pose, arm = sim.joint_positions, arm_slice(side)
        pose[arm] = self._kinematics[side].solve(pose[arm], point, iterations=_ITERATIONS)
        sim.place(pose)

    def near(self, sim: BimanualSim, task: Task) -> None:
        """Teleports the task's arm over its cube, at rest; often the gripper is closed, as after a miss."""
        rng, side = self._rng, first_arm(task)
        grasp = grasp_pose(sim, side, task.colour)
        point = grasp.point + np.append(rng.normal(0.0, _BESIDE, size=2), rng.uniform(*_OVER))  # (3,) [m]
        turned = down(float(rng.normal(0.0, _TURNED))) @ down(0.0).T @ grasp.orientation  # (3, 3)
        pose, arm = sim.joint_positions, arm_slice(side)
        # Solved from home, to get the same arm configuration as the operator's.
        pose[arm] = self._kinematics[side].solve_turned(HOME[arm], point, turned, iterations=_ITERATIONS)
        pose[arm.stop] = rng.choice((0.0, rng.uniform(0.0, OPEN)))
        sim.place(pose)

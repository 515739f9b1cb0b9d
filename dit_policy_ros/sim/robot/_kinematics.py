# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""Inverse kinematics of one arm, by mink. The gripper points down, or has a given orientation."""

from typing import TYPE_CHECKING

import mujoco
import numpy as np

from dit_policy_ros.sim.robot._assets import asset_path

if TYPE_CHECKING:
    import mink  # imported on use: its solvers take half a second, which every program's help would wait for

# Pose of each arm's base: y [m] and heading about z [rad], as in mjcf/bimanual.xml.
_BASES = {"left": (0.42, -np.pi / 2), "right": (-0.42, np.pi / 2)}
_ARM_JOINTS = 6
# Position and tilt are tasks. Rotation about the tool axis is free, and the posture task decides it.
_POSITION_COST, _TILT_COST, _POSTURE_COST = 1.0, 0.2, 1e-3
_ORIENTATION_COST = 0.2  # of all three axes, when a full orientation is given
_DAMPING = 1e-9


class ArmKinematics:
    """Forward and inverse kinematics of one arm. Solutions are continuous from the given pose."""

    def __init__(self, side: str) -> None:
        import mink

        y, heading = _BASES[side]
        self._base = np.array([0.0, y, 0.0])  # [m], in the world
        cos, sin = np.cos(heading), np.sin(heading)
        self._world_to_base = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])  # (3, 3)
        model = mujoco.MjModel.from_xml_path(str(asset_path("mjcf/arm.xml")))
        self._configuration = mink.Configuration(model)
        self._tool = mink.FrameTask("tcp", "site", _POSITION_COST, [0.0, _TILT_COST, _TILT_COST])
        self._turned_tool = mink.FrameTask("tcp", "site", _POSITION_COST, _ORIENTATION_COST)
        posture_cost = np.zeros(model.nv)
        posture_cost[[3, 5]] = _POSTURE_COST  # forearm roll and wrist roll return to zero
        self._posture = mink.PostureTask(model, cost=posture_cost)
        self._posture.set_target(np.zeros(model.nq))
        # The tool site's x axis points out of the gripper. This points it down, with z along the heading.
        self._down = mink.SO3.from_y_radians(np.pi / 2)
        self._limits = [mink.ConfigurationLimit(model)]
        self._q = np.zeros(model.nq)

    def forward(self, arm: np.ndarray) -> np.ndarray:
        """Returns the tool point (3,) [m] in the world for arm joints (6,) [rad]."""
        self._q[:_ARM_JOINTS] = arm
        self._configuration.update(self._q)
        pose = self._configuration.get_transform_frame_to_world("tcp", "site")
        return self._world_to_base.T @ pose.translation() + self._base

    def orientation(self, arm: np.ndarray) -> np.ndarray:
        """Returns the gripper's orientation (3, 3) in the world for arm joints (6,) [rad].

        Columns: approach direction, finger opening direction, and their cross product.
        """
        self._q[:_ARM_JOINTS] = arm
        self._configuration.update(self._q)
        pose = self._configuration.get_transform_frame_to_world("tcp", "site")
        return self._world_to_base.T @ pose.rotation().as_matrix()

    def solve_turned(
        self, arm: np.ndarray, target: np.ndarray, orientation: np.ndarray, iterations: int = 2
    ) -> np.ndarray:
        """Like ``solve``, with the gripper's orientation (3, 3) in the world."""
        import mink

        goal = self._world_to_base @ (target - self._base)  # (3,), in the arm's base frame
        turned = mink.SO3.from_matrix(self._world_to_base @ orientation)
        self._turned_tool.set_target(mink.SE3.from_rotation_and_translation(turned, goal))
        return self._iterate(arm, self._turned_tool, iterations)

    def solve(self, arm: np.ndarray, target: np.ndarray, iterations: int = 2) -> np.ndarray:
        """Returns arm joints (6,) [rad] near `arm` (6,) that bring the tool point to target (3,) [m], world.

        Each iteration is one step of differential inverse kinematics. Two are enough to track a target that
        moves a little per call; a distant target needs tens.
        """
        import mink

        goal = self._world_to_base @ (target - self._base)  # (3,), in the arm's base frame
        heading = mink.SO3.from_z_radians(float(np.arctan2(goal[1], goal[0])))
        self._tool.set_target(mink.SE3.from_rotation_and_translation(heading @ self._down, goal))
        return self._iterate(arm, self._tool, iterations)

    def _iterate(self, arm: np.ndarray, tool: "mink.FrameTask", iterations: int) -> np.ndarray:
        import mink

        self._q[:_ARM_JOINTS] = arm
        self._configuration.update(self._q)
        for _ in range(iterations):
            velocity = mink.solve_ik(
                self._configuration, [tool, self._posture], 1.0, "daqp",
                damping=_DAMPING, limits=self._limits,
            )  # fmt: skip
            self._configuration.integrate_inplace(velocity, 1.0)
        return self._configuration.q[:_ARM_JOINTS].copy()

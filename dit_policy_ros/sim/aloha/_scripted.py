# SPDX-License-Identifier: Apache-2.0
# pyright: reportAttributeAccessIssue=false
# (mujoco has no stubs for its compiled part)
"""A scripted operator for ALOHA's transfer cube: it knows where the cube is, and plans before it moves.

Both grippers go through waypoints. Inverse kinematics turns these into joint positions, and the joints move
from one to the next.

Shapes: T steps, 14 joints: six of the left arm, its gripper [m], six of the right arm, its gripper.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

OPEN, CLOSED = 0.057, 0.021  # [m] of a finger
_TOOL = 0.135  # [m] from the wrist's last link to between the fingertips
_ARM = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")
_SIDES = ("left", "right")
_MEETING = (0.0, 0.5, 0.25)  # [m] where the cube is handed over
_PITCH = np.deg2rad(65.0)  # of the right gripper, downwards, when it grasps
_MEETING_PITCH = np.deg2rad(20.0)  # and when it hands over: at 0 two joints of the wrist are in line
_ITERATIONS, _DAMPING, _LARGEST = 300, 1e-4, 0.2  # of the inverse kinematics; [rad] a step
_TOLERANCE = 0.01  # [m]
_DURATION = 7.4  # [s]


@dataclass(frozen=True, slots=True)
class Waypoint:
    """Where a gripper is at a time [s]: between its fingertips [m], its axes (3, 3), its finger [m]."""

    time: float
    position: NDArray[np.float64]
    rotation: NDArray[np.float64]
    finger: float


class ScriptedTransfer:
    """Plans a transfer in a scene of gym-aloha."""

    def __init__(self, model: Any, fps: float = 50.0) -> None:
        """Prepare.

        Args:
            model: the scene.
            fps: rate of the plan [Hz].
        """
        self._model, self._fps = model, fps
        self._data = mujoco.MjData(model)

    def plan(self, cube: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Joint targets (T, 14) from the keyframe on; like people's, no two are alike.

        Args:
            cube: (3,) [m].
            rng: varies times and places a little.
        """
        mujoco.mj_resetDataKeyframe(self._model, self._data, 0)
        mujoco.mj_forward(self._model, self._data)
        times = np.arange(round(_DURATION * self._fps), dtype=np.float64) / self._fps  # (T,)
        targets = np.empty((len(times), 14))
        for number, side in enumerate(_SIDES):
            waypoints = self._left(rng) if side == "left" else self._right(cube, rng)
            targets[:, 7 * number : 7 * number + 7] = self._follow(side, waypoints, times)
        return targets

    def _right(self, cube: NDArray[np.float64], rng: np.random.Generator) -> Sequence[Waypoint]:
        begin = self._present("right")
        down = _facing(-1.0, _PITCH)
        level = _facing(-1.0, _MEETING_PITCH)
        meeting = np.array(_MEETING) + rng.uniform(-0.01, 0.01, 3)
        table = np.array([cube[0], cube[1], 0.02])
        above, grasp = table + _up(0.1), table + _up(0.005)
        lag = rng.uniform(-0.1, 0.1)
        return (
            Waypoint(0.0, begin.position, begin.rotation, begin.finger),
            Waypoint(1.6 + lag, above, down, OPEN),
            Waypoint(2.3 + lag, grasp, down, OPEN),
            Waypoint(2.8 + lag, grasp, down, CLOSED),
            Waypoint(4.2 + lag, meeting, level, CLOSED),
            Waypoint(5.7 + lag, meeting, level, CLOSED),
            Waypoint(6.1 + lag, meeting, level, OPEN),
            Waypoint(7.0 + lag, meeting + _right(0.12), level, OPEN),
        )

    def _left(self, rng: np.random.Generator) -> Sequence[Waypoint]:
        begin = self._present("left")
        turned = _facing(1.0, 0.0) @ _about_x(np.pi / 2)  # its fingers above and below the cube
        meeting = np.array(_MEETING)
        lag = rng.uniform(-0.1, 0.1)
        return (
            Waypoint(0.0, begin.position, begin.rotation, begin.finger),
            Waypoint(2.0 + lag, meeting - _right(0.14), turned, OPEN),
            Waypoint(4.3 + lag, meeting - _right(0.12), turned, OPEN),
            Waypoint(5.0 + lag, meeting - _right(0.005), turned, OPEN),
            Waypoint(5.5 + lag, meeting - _right(0.005), turned, CLOSED),
            Waypoint(6.4 + lag, meeting - _right(0.005), turned, CLOSED),
            Waypoint(7.2 + lag, meeting - _right(0.1) + _up(0.02), turned, CLOSED),
        )

    def _present(self, side: str) -> Waypoint:
        rotation = self._data.body(f"vx300s_{side}/gripper_link").xmat.reshape(3, 3).copy()
        finger = float(self._data.joint(f"vx300s_{side}/left_finger").qpos[0])
        return Waypoint(0.0, self._tool(side), rotation, finger)

    def _tool(self, side: str) -> NDArray[np.float64]:
        link = self._data.body(f"vx300s_{side}/gripper_link")
        return link.xpos + _TOOL * link.xmat.reshape(3, 3)[:, 0]

    def _follow(
        self, side: str, waypoints: Sequence[Waypoint], times: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Joint targets (T, 7) of one arm: from waypoint to waypoint, each motion begins and ends slowly."""
        poses = np.array([[*self._reach(side, each), each.finger] for each in waypoints])  # (W, 7)
        begins = np.array([each.time for each in waypoints])  # (W,)
        after = np.clip(np.searchsorted(begins, times, side="right"), 1, len(begins) - 1)  # (T,)
        share = np.clip((times - begins[after - 1]) / (begins[after] - begins[after - 1]), 0.0, 1.0)
        share = (share * share * (3.0 - 2.0 * share))[:, None]  # (T, 1)
        return (1.0 - share) * poses[after - 1] + share * poses[after]

    def _reach(self, side: str, goal: Waypoint) -> NDArray[np.float64]:
        """Move the arm in ``data`` to a pose; returns its joints (6,).

        Raises:
            ValueError: it cannot reach it.
        """
        places = [self._model.joint(f"vx300s_{side}/{name}").qposadr[0] for name in _ARM]
        self._descend(side, goal, places)
        roll = float(self._data.qpos[places[3]])
        if abs(roll) > np.pi / 2:  # the same pose with the wrist the other way round
            turned = np.pi * np.sign(roll)
            self._data.qpos[places[3]] -= turned
            self._data.qpos[places[4]] *= -1.0
            rotate = self._data.qpos[places[5]] + turned
            self._data.qpos[places[5]] = (rotate + np.pi) % (2 * np.pi) - np.pi
            self._descend(side, goal, places)
        miss = float(np.linalg.norm(goal.position - self._tool(side)))
        if miss > _TOLERANCE:
            raise ValueError(f"the {side} arm misses {goal.position.round(3)} by {1000 * miss:.0f} mm")
        return self._data.qpos[places].copy()

    def _descend(self, side: str, goal: Waypoint, places: list[int]) -> None:
        """Inverse kinematics by damped least squares."""
        model, data = self._model, self._data
        body = data.body(f"vx300s_{side}/gripper_link")
        joints = [model.joint(f"vx300s_{side}/{name}") for name in _ARM]
        columns = [joint.dofadr[0] for joint in joints]
        low, high = np.array([joint.range for joint in joints]).T  # (6,) each
        jacobian = np.empty((6, model.nv))
        for _ in range(_ITERATIONS):
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            tool = self._tool(side)
            turn = _rotation_vector(goal.rotation @ body.xmat.reshape(3, 3).T)
            error = np.concatenate((goal.position - tool, turn))  # (6,)
            if np.abs(error).max() < 1e-4:
                break
            mujoco.mj_jac(model, data, jacobian[:3], jacobian[3:], tool, body.id)
            own = jacobian[:, columns]  # (6, 6)
            step = own.T @ np.linalg.solve(own @ own.T + _DAMPING * np.eye(6), error)
            step *= min(1.0, _LARGEST / max(float(np.abs(step).max()), 1e-9))
            data.qpos[places] = np.clip(data.qpos[places] + step, low, high)


def _right(distance: float) -> NDArray[np.float64]:
    """A step to the right arm (3,) [m]."""
    return np.array([distance, 0.0, 0.0])


def _up(distance: float) -> NDArray[np.float64]:
    return np.array([0.0, 0.0, distance])


def _facing(direction: float, pitch: float) -> NDArray[np.float64]:
    """Axes of a gripper that points along x in a direction, and down by a pitch [rad]."""
    forward = np.array([direction * np.cos(pitch), 0.0, -np.sin(pitch)])
    side = np.array([0.0, direction, 0.0])
    return np.stack((forward, side, np.cross(forward, side)), axis=1)


def _about_x(angle: float) -> NDArray[np.float64]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])


def _rotation_vector(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation vector (3,) [rad] of a rotation (3, 3)."""
    quaternion, vector = np.empty(4), np.empty(3)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(matrix).ravel())
    mujoco.mju_quat2Vel(vector, quaternion, 1.0)
    return vector

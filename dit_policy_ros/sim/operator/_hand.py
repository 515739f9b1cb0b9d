# SPDX-License-Identifier: Apache-2.0
"""One hand of the scripted operator: it turns gripper poses into joint targets within limits."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dit_policy_ros.sim.operator._reach import early_peak
from dit_policy_ros.sim.robot import FPS, HOME, ArmKinematics, BimanualSim, Tracker, arm_slice

OPEN, CLOSED = 0.03, 0.0  # [m] of one finger; open is wide enough for a cube, and fits between two
_GRIPPER_SPEED = 0.06  # [m/s]
_MIN_DURATION = 0.5  # [s] of a movement
_TURNING = 1.6  # [rad/s]


@dataclass(frozen=True, slots=True)
class Pose:
    """Pose of a gripper: tool point (3,) [m] and orientation (3, 3), in the world."""

    point: np.ndarray
    orientation: np.ndarray

    def shifted(self, *offset: float) -> "Pose":
        """This pose moved by (3,) [m] in the world."""
        return Pose(self.point + np.array(offset), self.orientation)


Moves = Iterator[None]
"""A motion as a generator: each step is one period of the operator."""


class Hand:
    """Moves one gripper along straight lines, with the speed profile and variation of a person."""

    def __init__(self, side: str, rng: np.random.Generator, aim_error: float = 0.0) -> None:
        """aim_error: see ``aimed`` [m]."""
        self.side, self._rng, self._aim_error = side, rng, aim_error
        self._kinematics = ArmKinematics(side)
        self._slice = arm_slice(side)
        self._tracker = Tracker()
        self.begin(HOME)

    def begin(self, command: np.ndarray) -> None:
        """Start at rest at the robot's command (14,)."""
        self._planned = command[self._slice].copy()  # (6,) [rad]
        self._tracker.begin(self._planned)
        self._gripper = self._gripper_target = float(command[self._slice.stop])  # [m]

    @property
    def target(self) -> np.ndarray:
        """The last target (7,): arm joints [rad] and gripper [m]."""
        return np.append(self._tracker.position, self._gripper)

    @property
    def pose(self) -> Pose:
        """The planned pose of the gripper now."""
        return Pose(self._kinematics.forward(self._planned), self._kinematics.orientation(self._planned))

    @property
    def home(self) -> Pose:
        """The rest pose of the gripper."""
        joints = HOME[self._slice]
        return Pose(self._kinematics.forward(joints), self._kinematics.orientation(joints))

    def aimed(self, pose: Pose, share: float = 1.0) -> Pose:
        """A pose on the way to an object as a person first comes to it: beside, by ``share`` of the error.

        The error is random, level, and normal with the standard deviation ``aim_error`` along x and y.
        """
        if not self._aim_error:
            return pose
        beside = self._rng.normal(0.0, share * self._aim_error, size=2)  # (2,) [m]
        return pose.shifted(*beside, 0.0)

    def advance(self) -> None:
        """Advance one period: follow the plan within the limits."""
        self._tracker.follow(self._planned)
        reach = _GRIPPER_SPEED / FPS
        self._gripper += float(np.clip(self._gripper_target - self._gripper, -reach, reach))

    def move(self, goal: Pose, speed: float = 1.0) -> Moves:
        """Move to a pose in a straight line; ``speed`` is relative to a person's usual speed."""
        import mink  # on use, as in the kinematics

        start = self.pose
        delta = goal.point - start.point  # (3,)
        turn = mink.SO3.from_matrix(start.orientation).inverse() @ mink.SO3.from_matrix(goal.orientation)
        angle = turn.log()  # (3,) [rad]
        metres = self._rng.uniform(0.16, 0.24) * speed  # [m/s]
        slowest = max(float(np.linalg.norm(delta)) / metres, float(np.linalg.norm(angle)) / _TURNING)
        duration = max(_MIN_DURATION / speed, slowest) * self._rng.uniform(0.9, 1.15)
        frames = max(2, round(duration * FPS))
        for frame in range(1, frames + 1):
            done = early_peak(frame / frames)
            orientation = start.orientation @ mink.SO3.exp(angle * done).as_matrix()
            self._planned = self._kinematics.solve_turned(
                self._planned, start.point + delta * done, orientation, iterations=3
            )
            yield

    def rest(self) -> Moves:
        """Move to exactly the rest pose."""
        yield from self.move(self.home)
        self._planned = HOME[self._slice].copy()
        yield

    def grip(self, width: float) -> Moves:
        """Move each finger to ``width`` [m], or until it meets an object, and wait."""
        self._gripper_target = width
        seconds = abs(width - self._gripper) / _GRIPPER_SPEED + self._rng.uniform(0.15, 0.3)
        yield from self.wait(seconds)

    def wait(self, seconds: float) -> Moves:
        """Stay in place."""
        for _ in range(round(seconds * FPS)):
            yield


def down(opening: float) -> np.ndarray:
    """Orientation (3, 3) of a gripper that points down; its fingers open along ``opening`` [rad] about z."""
    approach = np.array([0.0, 0.0, -1.0])
    fingers = np.array([np.cos(opening), np.sin(opening), 0.0])
    return np.stack([approach, fingers, np.cross(approach, fingers)], axis=1)


def forward(heading: float) -> np.ndarray:
    """Orientation (3, 3) of a level gripper along ``heading`` [rad] about z; its fingers open sideways."""
    approach = np.array([np.cos(heading), np.sin(heading), 0.0])
    up = np.array([0.0, 0.0, 1.0])
    return np.stack([approach, np.cross(up, approach), up], axis=1)


def cube_yaw(sim: BimanualSim, colour: str) -> float:
    """A cube's yaw [rad] within 45 degrees; a quarter turn looks the same."""
    w, i, j, k = sim.data.body(f"{colour}_cube").xquat
    yaw = np.arctan2(2 * (w * k + i * j), 1 - 2 * (j * j + k * k))
    return float((yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4)

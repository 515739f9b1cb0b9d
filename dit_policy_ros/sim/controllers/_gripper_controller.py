# SPDX-License-Identifier: Apache-2.0
"""A model of parallel_gripper_controller, as its client sees it.

Behaviour after ros-controls/ros2_controllers, parallel_gripper_action_controller_impl.hpp (Jazzy and Kilted,
position command interface, default parameters): the newest goal replaces the running one. Its position
stays commanded after the goal has ended, as reached or as stalled (the fingers hold something).
"""

from dataclasses import dataclass

import numpy as np

GOAL_TOLERANCE = 0.01  # [m]
_STALL_VELOCITY = 0.001  # [m/s]
_STALL_NS = 1_000_000_000
MAX_VELOCITY = 0.1  # [m/s] of the gripper hardware


@dataclass(frozen=True, slots=True)
class GoalEnd:
    """How a goal ended: the final position [m], and whether the goal was reached or the joint stalled."""

    position: float
    reached: bool
    stalled: bool


class ParallelGripperController:
    """One controller and its joint.

    accept() may be called from another thread than update(): the next update uses the newest goal.
    """

    def __init__(
        self, name: str, joints: tuple[str, ...], *, period_ns: int, max_velocity: float = MAX_VELOCITY
    ) -> None:
        """max_velocity: of the gripper hardware [m/s], or in whatever the joint is measured."""
        if len(joints) != 1:
            raise ValueError(f"{name} moves one joint, got {joints}")
        self.name = name
        self.joints = joints
        self._step = max_velocity * period_ns * 1e-9  # [m]
        self.accepted = 0
        self.rejected = 0
        self.reset(np.zeros(1))

    def reset(self, positions: np.ndarray) -> None:
        """Forgets every goal and holds positions (1,) [m]."""
        self._command = np.array(positions, dtype=float)  # (1,)
        self._target = float(positions[0])
        self._release = False
        self._moved_ns: int | None = None
        self.end: GoalEnd | None = None

    @property
    def command(self) -> np.ndarray:
        """The last command (1,) [m]; a copy."""
        return self._command.copy()

    @property
    def broken_joints(self) -> tuple[str, ...]:
        """The joint, if its command has become NaN."""
        return self.joints if np.isnan(self._command[0]) else ()

    def accept(self, positions: tuple[float, ...]) -> str | None:
        """Accepts a goal and returns None, or returns the rule that it breaks."""
        if len(positions) != 1:
            self.rejected += 1
            return f"number of positions: {len(positions)} instead of 1"
        self.accepted += 1
        self.end, self._moved_ns, self._target = None, None, positions[0]
        return None

    def release(self) -> None:
        """Cancel the goal: from the next update on, hold the measured position."""
        self._release = True

    def update(self, now_ns: int, positions: np.ndarray, velocities: np.ndarray) -> np.ndarray:
        """Returns the command (1,) [m] for the coming period; a copy.

        positions, velocities: measured (1,) [m], [m/s].
        """
        if self._release:
            self._target, self._release = float(positions[0]), False
        self._command += np.clip(self._target - self._command, -self._step, self._step)
        if self.end is None:
            self._check_end(now_ns, float(positions[0]), float(velocities[0]))
        return self._command.copy()

    def _check_end(self, now_ns: int, position: float, velocity: float) -> None:
        if self._moved_ns is None or abs(velocity) > _STALL_VELOCITY:
            self._moved_ns = now_ns
        if abs(self._target - position) < GOAL_TOLERANCE:
            self.end = GoalEnd(position, reached=True, stalled=False)
        elif now_ns - self._moved_ns > _STALL_NS:
            self.end = GoalEnd(position, reached=False, stalled=True)

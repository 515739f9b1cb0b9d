# SPDX-License-Identifier: Apache-2.0
"""A model of joint_trajectory_controller for streamed messages: replacement, sampling, activation.

Behaviour after ros-controls/ros2_controllers, joint_trajectory_controller.cpp (branches humble, jazzy, kilted
and master of August 2026; position command interface, no tolerances). It has the weaknesses of the real one,
too, so that a sender's mistake shows in simulation first.
"""

from dataclasses import replace

import numpy as np

from dit_policy_ros.sim.controllers._controller_settings import ControllerSettings
from dit_policy_ros.sim.controllers._running_trajectory import RunningTrajectory
from dit_policy_ros.sim.controllers._trajectory import Knot, Trajectory
from dit_policy_ros.sim.controllers._trajectory_joining import join, upsampled
from dit_policy_ros.sim.controllers._trajectory_rules import reject_reason

_DEFAULTS = ControllerSettings()


class TrajectoryController:
    """One controller and its joints. It is active from the beginning.

    accept() may be called from another thread than update(): the next update uses the newest message.

    A NaN in the command is permanent, as measured on the real controller: that joint's output stays NaN
    until reset() or the next activation, whatever is sent.
    """

    def __init__(
        self, name: str, joints: tuple[str, ...], *, period_ns: int, settings: ControllerSettings = _DEFAULTS
    ) -> None:
        self.name = name
        self.joints = joints
        self.settings = settings
        self.accepted = 0
        self.rejected = 0
        self.ignored = 0  # valid messages while inactive: nobody is told
        self._ahead_ns = period_ns if settings.looks_ahead else 0
        self._is_active = True
        self.reset(np.zeros(len(joints)))

    def reset(self, positions: np.ndarray) -> None:
        """Forgets every trajectory and holds positions (A,) [rad] or [m]."""
        self._command = np.array(positions, dtype=float)  # (A,)
        self._updated_ns: int | None = None
        self._pending: Trajectory | None = None
        self._running: RunningTrajectory | None = None  # None: hold the command
        self._broken = np.zeros(len(self.joints), dtype=bool)  # (A,) joints whose command became NaN
        # The real controller sorts fields into a buffer that it never clears. So with a duplicate name, the
        # joint left out keeps its value of the last message.
        self._sorted = np.zeros(len(self.joints))

    @property
    def command(self) -> np.ndarray:
        """The last command (A,) [rad] or [m]; a copy."""
        return self._command.copy()

    @property
    def reference(self) -> Knot:
        """The desired state at the last update, as `reference` of <controller>/controller_state.

        On all releases but Humble, it is one period behind the command.
        """
        time_ns = self._updated_ns or 0
        state = self._state(time_ns)
        state.position[self._broken] = np.nan
        return state

    @property
    def broken_joints(self) -> tuple[str, ...]:
        """Joints whose command has become NaN."""
        return tuple(joint for joint, broken in zip(self.joints, self._broken, strict=True) if broken)

    @property
    def is_active(self) -> bool:
        """Whether it commands its joints, and publishes its state on a real robot."""
        return self._is_active

    @property
    def has_trajectory(self) -> bool:
        """Whether a trajectory has been received since the last reset or activation, finished or not."""
        return self._running is not None or self._pending is not None

    def deactivate(self) -> None:
        """Stops to follow messages, but stays subscribed to them. The joints keep the last command."""
        self._is_active = False
        self._running = self._pending = None

    def activate(self, positions: np.ndarray) -> None:
        """Starts again by holding the last command, or positions (A,) as measured if that has a NaN."""
        self.reset(positions if self._broken.any() else self._command)
        self._is_active = True

    def accept(self, trajectory: Trajectory, now_ns: int) -> str | None:
        """Accepts a message for the next update and returns None, or returns the rule that it breaks.

        While inactive, a valid message is dropped, and that is not told either.
        """
        if self.settings.upsamples:
            trajectory = upsampled(trajectory, self.settings.policy_frequency)
        reason = reject_reason(trajectory, self.joints, now_ns, may_end_moving=self.settings.may_end_moving)
        if reason is not None:
            self.rejected += 1
            return reason
        if not self._is_active:
            self.ignored += 1
            return None
        self.accepted += 1
        self._pending = trajectory
        return None

    def update(self, now_ns: int, positions: np.ndarray, velocities: np.ndarray) -> np.ndarray:
        """Returns the command (A,) for the coming period; a copy.

        positions, velocities: measured (A,). A new trajectory starts from them if its first point is in the
        future, unless the settings say that it starts from the last command.
        """
        if not self._is_active:
            return self.command
        pending, self._pending = self._pending, None
        if pending is not None:
            self._running = self._install(pending, now_ns, Knot(now_ns, positions, velocities, None))
        self._updated_ns = now_ns
        if self._running is not None:
            self._running.advance(now_ns)
            position = self._running.position(now_ns + self._ahead_ns)
            if position is not None:
                self._broken |= np.isnan(position)
                position[self._broken] = np.nan
                self._command = position
        return self.command

    def _install(self, trajectory: Trajectory, now_ns: int, measured: Knot) -> RunningTrajectory:
        order = [self.joints.index(name) for name in trajectory.joint_names]
        knots = [
            Knot(
                point.time_from_start_ns,
                self._sort(point.positions, order),
                self._sort(point.velocities, order) if point.velocities else None,
                self._sort(point.accelerations, order) if point.accelerations else None,
            )
            for point in trajectory.points
        ]
        running = self._running
        # A trajectory of one point counts as holding: there is nothing to join.
        if self.settings.joins_trajectories and running is not None and len(running.knots) > 1:
            reached_ns = now_ns if self._updated_ns is None else self._updated_ns
            knots = join(running, reached_ns, now_ns, trajectory.stamp_ns, knots)
        else:
            start_ns = trajectory.stamp_ns or now_ns
            knots = [replace(knot, time_ns=start_ns + knot.time_ns) for knot in knots]
        return RunningTrajectory(knots, self._state_before(knots[0], measured))

    def _state_before(self, first: Knot, measured: Knot) -> Knot:
        """The state from which a first knot in the future is approached."""
        if self.settings.starts_from_command:
            if self._updated_ns is None:
                return replace(self._state(measured.time_ns), time_ns=measured.time_ns)
            commanded = self._state(self._updated_ns + self._ahead_ns)
            # Later releases stamp it with the last update, though it was made for one period later.
            return replace(commanded, time_ns=self._updated_ns if self._ahead_ns else measured.time_ns)
        # Acceleration is not measured. It counts as zero if the first point has one.
        at_rest = np.zeros(len(self.joints)) if first.acceleration is not None else None
        position, velocity = np.array(measured.position, float), np.array(measured.velocity, float)
        return Knot(measured.time_ns, position, velocity, at_rest)

    def _state(self, time_ns: int) -> Knot:
        """The desired state at an instant; the last command at rest if there is no trajectory."""
        state = self._running.sample(time_ns) if self._running is not None else None
        if state is None:
            zero = np.zeros(len(self.joints))
            return Knot(time_ns, self.command, zero, zero)
        return state

    def _sort(self, values: tuple[float, ...], order: list[int]) -> np.ndarray:
        for index, value in zip(order, values, strict=True):
            self._sorted[index] = value
        return self._sorted.copy()

# SPDX-License-Identifier: Apache-2.0
"""A model of joint_trajectory_controller for streamed messages: replacement, sampling, rejection.

Behaviour after ros-controls/ros2_controllers, joint_trajectory_controller.cpp (Jazzy and Kilted, position
command interface, default parameters, no tolerances). It has the weaknesses of the real one, too, so that a
sender's mistake shows in simulation first.
"""

import numpy as np

from dit_policy_ros.sim.robot._trajectory import Knot, Point, Segment, Trajectory, segment_between

# The real controller compares the last velocity with a float32's epsilon [rad/s].
_STANDSTILL = float(np.finfo(np.float32).eps)


def reject_reason(trajectory: Trajectory, joints: tuple[str, ...], now_ns: int) -> str | None:
    """Returns the rule by which the controller of `joints` rejects a message, or None if it accepts it.

    The real controller only writes the reason to its own log. NaN values and duplicate names break no rule.
    """
    names, points = trajectory.joint_names, trajectory.points
    if not names:
        return "empty joint_names"
    if len(names) != len(joints):
        return (
            f"joint count: {len(names)} joints for a controller of {len(joints)} "
            "(allow_partial_joints_goal is false)"
        )
    if not points:
        return "no points"
    for name in names:
        if name not in joints:
            return f"unknown joint: '{name}' is not one of {list(joints)}"
    for index, velocity in enumerate(points[-1].velocities):
        if abs(velocity) > _STANDSTILL:
            name = names[index] if index < len(names) else f"#{index}"
            return (
                f"non-zero velocity at the end: {velocity:g} of joint '{name}' "
                "(allow_nonzero_velocity_at_trajectory_end is false)"
            )
    end_ns = trajectory.stamp_ns + points[-1].time_from_start_ns
    if trajectory.stamp_ns != 0 and end_ns < now_ns:
        return f"ends in the past: {(now_ns - end_ns) * 1e-9:.3f} s ago"
    for index, point in enumerate(points):
        reason = _reject_point(index, point, points[index - 1] if index else None, len(names))
        if reason is not None:
            return reason
    return None


def _reject_point(index: int, point: Point, before: Point | None, joint_count: int) -> str | None:
    if before is not None and point.time_from_start_ns <= before.time_from_start_ns:
        return (
            f"time_from_start not strictly increasing: {before.time_from_start_ns * 1e-9:g} s, then "
            f"{point.time_from_start_ns * 1e-9:g} s at point {index}"
        )
    for field, values, may_be_absent in (
        ("positions", point.positions, False),
        ("velocities", point.velocities, True),
        ("accelerations", point.accelerations, True),
    ):
        if len(values) != joint_count and (values or not may_be_absent):
            return f"field length: {len(values)} {field} for {joint_count} joints at point {index}"
    if point.effort:
        return f"effort: point {index} has effort, but the controller has no effort interface"
    return None


class TrajectoryController:
    """One controller and its joints.

    accept() may be called from another thread than update(): at the next update the newest accepted message
    replaces the whole running one.

    A NaN in the command is permanent, as measured on the real controller: that joint's output stays NaN
    until reset(), whatever is sent.
    """

    def __init__(self, name: str, joints: tuple[str, ...], *, period_ns: int) -> None:
        self.name = name
        self.joints = joints
        self.period_ns = period_ns  # the command is the sample one period ahead
        self.accepted = 0
        self.rejected = 0
        self.reset(np.zeros(len(joints)))

    def reset(self, positions: np.ndarray) -> None:
        """Forgets every trajectory and holds positions (A,) [rad] or [m]."""
        self._command = np.array(positions, dtype=float)
        self._pending: Trajectory | None = None
        self._knots: list[Knot] = []
        self._before: Knot | None = None
        self._segment: Segment | None = None
        self._segment_end_ns = 0
        self._cursor = 0
        self._broken = np.zeros(len(self.joints), dtype=bool)  # (A,) joints whose command became NaN
        # The real controller sorts fields into a buffer that it never clears. So with a duplicate name, the
        # joint left out keeps its value of the last message.
        self._sorted = np.zeros(len(self.joints))

    @property
    def command(self) -> np.ndarray:
        """The last command (A,) [rad] or [m]; a copy."""
        return self._command.copy()

    @property
    def broken_joints(self) -> tuple[str, ...]:
        """Joints whose command has become NaN."""
        return tuple(joint for joint, broken in zip(self.joints, self._broken, strict=True) if broken)

    @property
    def active(self) -> bool:
        """Whether a trajectory has been received since the last reset, finished or not."""
        return bool(self._knots) or self._pending is not None

    def accept(self, trajectory: Trajectory, now_ns: int) -> str | None:
        """Accepts a message for the next update and returns None, or returns the rule that it breaks."""
        reason = reject_reason(trajectory, self.joints, now_ns)
        if reason is not None:
            self.rejected += 1
            return reason
        self.accepted += 1
        self._pending = trajectory
        return None

    def update(self, now_ns: int, positions: np.ndarray, velocities: np.ndarray) -> np.ndarray:
        """Returns the command (A,) for the coming period; a copy.

        positions, velocities: measured (A,). A new trajectory starts from them if its first point is in the
        future.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            self._install(pending, now_ns, positions, velocities)
        if self._knots:
            self._command = self._sample(now_ns + self.period_ns)
            self._broken |= np.isnan(self._command)
            self._command[self._broken] = np.nan
        return self._command.copy()

    def sample_velocity(self, time_ns: int) -> np.ndarray:
        """Returns the desired velocity (A,) at an instant at or after the last update; zero when holding."""
        if self._knots:
            self._sample(time_ns)
        if self._segment is None:
            return np.zeros(len(self.joints))
        return self._segment.velocity(time_ns)

    def _install(
        self, trajectory: Trajectory, now_ns: int, positions: np.ndarray, velocities: np.ndarray
    ) -> None:
        start_ns = trajectory.stamp_ns or now_ns
        order = [self.joints.index(name) for name in trajectory.joint_names]
        self._knots = [
            Knot(
                start_ns + point.time_from_start_ns,
                self._sort(point.positions, order),
                self._sort(point.velocities, order) if point.velocities else None,
                self._sort(point.accelerations, order) if point.accelerations else None,
            )
            for point in trajectory.points
        ]
        # Acceleration is not measured. It counts as zero if the first point has one.
        at_rest = np.zeros(len(self.joints)) if self._knots[0].acceleration is not None else None
        self._before = Knot(now_ns, np.array(positions, float), np.array(velocities, float), at_rest)
        self._segment = None
        self._segment_end_ns = 0
        self._cursor = 0

    def _sort(self, values: tuple[float, ...], order: list[int]) -> np.ndarray:
        for index, value in zip(order, values, strict=True):
            self._sorted[index] = value
        return self._sorted.copy()

    def _sample(self, time_ns: int) -> np.ndarray:
        """Returns the trajectory's position (A,) at an instant; a fresh array."""
        if self._before is None:
            raise ValueError("sampling without a trajectory")
        if time_ns < self._before.time_ns:
            return self._command.copy()  # the clock was set back to before the message arrived
        if self._segment is not None and self._segment.start_ns <= time_ns < self._segment_end_ns:
            return self._segment.position(time_ns)
        knots = self._knots
        if time_ns < knots[0].time_ns:
            self._enter(self._before, knots[0])
        else:
            while self._cursor < len(knots) - 1 and time_ns >= knots[self._cursor + 1].time_ns:
                self._cursor += 1
            # As in the real one, a clock set back to before a finished segment also leads to the last point.
            if self._cursor == len(knots) - 1 or time_ns < knots[self._cursor].time_ns:
                self._segment = None
                return knots[-1].position.copy()
            self._enter(knots[self._cursor], knots[self._cursor + 1])
        if self._segment is None:
            raise ValueError("no segment was entered")
        return self._segment.position(time_ns)

    def _enter(self, a: Knot, b: Knot) -> None:
        self._segment, self._segment_end_ns = segment_between(a, b), b.time_ns

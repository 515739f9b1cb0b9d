# SPDX-License-Identifier: Apache-2.0
"""The rules by which joint_trajectory_controller rejects a message.

Behaviour after ros-controls/ros2_controllers, joint_trajectory_controller.cpp. The rules are the same from
Jazzy on. Humble differs in one default.
"""

import numpy as np

from dit_policy_ros.sim.controllers._trajectory import Point, Trajectory

# The real controller compares the last velocity with a float32's epsilon [rad/s].
_STANDSTILL = float(np.finfo(np.float32).eps)


def reject_reason(
    trajectory: Trajectory, joints: tuple[str, ...], now_ns: int, *, may_end_moving: bool = False
) -> str | None:
    """Returns the rule by which the controller of `joints` rejects a message, or None if it accepts it.

    may_end_moving: the controller's allow_nonzero_velocity_at_trajectory_end.
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
    for index, velocity in enumerate(() if may_end_moving else points[-1].velocities):
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

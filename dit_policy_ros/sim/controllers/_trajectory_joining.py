# SPDX-License-Identifier: Apache-2.0
"""How Rolling's joint_trajectory_controller treats a new message by default: it prepares and joins it.

Behaviour after joint_trajectory_controller.cpp and trajectory.cpp of ros-controls/ros2_controllers, master of
August 2026 (6.9.0): allow_trajectory_replacement and positions_upsampling.
"""

from dataclasses import replace

import numpy as np

from dit_policy_ros.sim.controllers._running_trajectory import RunningTrajectory
from dit_policy_ros.sim.controllers._trajectory import Knot, Trajectory


def join(
    running: RunningTrajectory, reached_ns: int, now_ns: int, stamp_ns: int, knots: list[Knot]
) -> list[Knot]:
    """Returns the knots of a new message after the rest of the running trajectory.

    Two of its properties matter to a sender. A message stamped in the past starts now, so all of it comes
    late by its age. And the running trajectory is taken from where it was at the last update, so each message
    costs one control period.

    Args:
        running: the trajectory until now.
        reached_ns: instant up to which it has been executed, that of the last update.
        now_ns: instant of this update.
        stamp_ns: of the new message.
        knots: of the new message; their times count from its start.
    """
    wait_ns = max(stamp_ns - now_ns, 0)
    handover = running.sample(reached_ns + wait_ns)
    joined = [
        replace(knot, time_ns=now_ns + knot.time_ns - reached_ns)
        for knot in running.knots
        if reached_ns < knot.time_ns < reached_ns + wait_ns
    ]
    if handover is not None and knots[0].time_ns > 0:
        joined.append(replace(handover, time_ns=now_ns + wait_ns))
    joined.extend(replace(knot, time_ns=now_ns + wait_ns + knot.time_ns) for knot in knots)
    return joined


def upsampled(trajectory: Trajectory, policy_frequency: float) -> Trajectory:
    """Gives points that have only positions the velocities of a cubic spline at rest at both ends.

    Args:
        trajectory: a message. Any other kind of message is returned as it is.
        policy_frequency: if all times are 0, point i comes (i + 1) / policy_frequency after the start [Hz].
            0: they stay.
    """
    points = trajectory.points
    if not points or not all(p.positions and not p.velocities and not p.accelerations for p in points):
        return trajectory
    if policy_frequency > 0.0 and not any(p.time_from_start_ns for p in points):
        points = tuple(
            replace(p, time_from_start_ns=round((i + 1) * 1e9 / policy_frequency))
            for i, p in enumerate(points)
        )
        trajectory = replace(trajectory, points=points)
    times = np.array([p.time_from_start_ns for p in points]) * 1e-9  # (T,) [s]
    if len(points) < 2 or len({len(p.positions) for p in points}) > 1 or (np.diff(times) <= 0.0).any():
        return trajectory
    velocities = _spline_velocities(times, np.array([p.positions for p in points]))  # (T, A)
    return replace(
        trajectory,
        points=tuple(
            replace(p, velocities=tuple(row)) for p, row in zip(points, velocities.tolist(), strict=True)
        ),
    )


def _spline_velocities(times: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Velocities (T, A) for cubics through positions (T, A) at times (T,) without a step in acceleration.

    The first and the last velocity are zero.
    """
    rates = 1.0 / np.diff(times)  # (T - 1,) [1/s]
    slopes = np.diff(positions, axis=0) * rates[:, None]  # (T - 1, A)
    neighbours = rates[1:-1]
    matrix = np.diag(2.0 * (rates[:-1] + rates[1:])) + np.diag(neighbours, 1) + np.diag(neighbours, -1)
    right = 3.0 * (slopes[:-1] * rates[:-1, None] + slopes[1:] * rates[1:, None])  # (T - 2, A)
    velocities = np.zeros_like(positions)
    velocities[1:-1] = np.linalg.solve(matrix, right)
    return velocities

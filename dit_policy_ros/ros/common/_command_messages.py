# SPDX-License-Identifier: Apache-2.0
"""Converts JointTrajectory messages to the trajectories that a controller would follow."""

from itertools import pairwise

import numpy as np
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.contract import NANOSECONDS, JointMapping
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.problems import listing
from dit_policy_ros.core.recording import CommandedTrajectory
from dit_policy_ros.ros.common._convert import stamp_ns


def commanded_trajectory(
    msg: JointTrajectory, robot: JointMapping, received_ns: int, start: np.ndarray | None
) -> CommandedTrajectory:
    """Converts a message for a controller.

    Args:
        msg: the message. Its joints may be in any order.
        robot: the controller's names of its joints, in the order of the result, and their units.
        received_ns: when the message arrived, by the node's clock [ns].
        start: joint positions at that time (A_c,) [rad or m]. None if unknown: the first point is used.

    Raises:
        StreamError: the controller would reject the message, or positions are missing or not finite.
    """
    names, joints = list(msg.joint_names), robot.sources
    if sorted(names) != sorted(joints):
        partial = set(names) < set(joints) and len(set(names)) == len(names)
        remedy = ". Send all joints of the controller in each message" if partial else ""
        raise StreamError(
            f"trajectory is for joints {listing(names)}; the controller has {listing(joints)}{remedy}"
        )
    if not msg.points:
        raise StreamError("trajectory has no points")
    order = [names.index(joint) for joint in joints]
    positions = robot(_column(msg, "positions", len(joints))[:, order])  # (K, A_c)
    moving = any(len(point.velocities) for point in msg.points)
    velocities = robot.rates(_column(msg, "velocities", len(joints))[:, order]) if moving else None
    offsets = [
        point.time_from_start.sec * NANOSECONDS + point.time_from_start.nanosec for point in msg.points
    ]
    if any(later <= earlier for earlier, later in pairwise(offsets)):
        raise StreamError("trajectory's time_from_start does not increase")
    stamp = stamp_ns(msg.header.stamp)
    times = np.array(offsets, dtype=np.int64) + (stamp or received_ns)  # (K,); stamp 0 means: on arrival
    if stamp and times[-1] < received_ns:
        late = (received_ns - int(times[-1])) / NANOSECONDS
        raise StreamError(f"trajectory ended {late:.3f} s before it arrived; are the clocks synchronised?")
    start = positions[0] if start is None else start
    return CommandedTrajectory(received_ns, np.array(start, dtype=np.float64), times, positions, velocities)


def _column(msg: JointTrajectory, field: str, joints: int) -> np.ndarray:
    """One field of all points, (K, A_c), joints in the message's order."""
    rows = [getattr(point, field) for point in msg.points]
    lengths = {len(row) for row in rows}
    if lengths != {joints}:
        raise StreamError(
            f"trajectory has {listing(map(str, sorted(lengths)))} {field} per point for {joints} joints"
        )
    values = np.array(rows, dtype=np.float64)  # (K, A_c)
    if not np.isfinite(values).all():
        raise StreamError(f"trajectory has {field} that are not finite")
    return values

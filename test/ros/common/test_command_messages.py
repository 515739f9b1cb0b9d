# SPDX-License-Identifier: Apache-2.0
"""Trajectories that a controller would follow are read exactly; those it would reject raise StreamError."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from builtin_interfaces.msg import Duration
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from dit_policy_ros.core.contract import parse_mapping
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.ros.common import to_stamp
from dit_policy_ros.ros.common._command_messages import commanded_trajectory

ROBOT = parse_mapping((), ("a", "b"), "")
NOW = 1_700_000_000_000_000_000
MS = 1_000_000


def message(times_ms=(0, 100), stamp_ns=NOW, names=("b", "a"), **fields) -> JointTrajectory:
    fields = fields or {"positions": [[2.0, 1.0], [4.0, 3.0]]}
    msg = JointTrajectory(joint_names=list(names))
    msg.header.stamp = to_stamp(stamp_ns)
    for index, time in enumerate(times_ms):
        point = JointTrajectoryPoint(time_from_start=Duration(sec=time // 1000, nanosec=time % 1000 * MS))
        for field, rows in fields.items():
            setattr(point, field, rows[index])
        msg.points.append(point)
    return msg


def read(msg: JointTrajectory):
    return commanded_trajectory(msg, ROBOT, NOW, np.zeros(2))


def test_joints_are_sorted_into_the_controllers_order() -> None:
    trajectory = read(message())
    np.testing.assert_array_equal(trajectory.positions, [[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(trajectory.times_ns, [NOW, NOW + 100 * MS])
    assert trajectory.velocities is None


def test_velocities_are_read_too() -> None:
    msg = message(positions=[[2.0, 1.0], [4.0, 3.0]], velocities=[[0.2, 0.1], [0.0, 0.0]])
    np.testing.assert_array_equal(read(msg).velocities, [[0.1, 0.2], [0.0, 0.0]])


def test_a_stamp_of_zero_means_on_arrival() -> None:
    np.testing.assert_array_equal(read(message(stamp_ns=0)).times_ns, [NOW, NOW + 100 * MS])


@pytest.mark.parametrize(
    ("msg", "reason"),
    [
        (message(names=("a", "c")), "is for joints a, c; the controller has a, b"),
        (message(names=("a",), positions=[[1.0], [2.0]]), "is for joints a;"),
        (message(names=("a", "a")), "is for joints a, a;"),
        (message(times_ms=()), "no points"),
        (message(times_ms=(100, 100)), "does not increase"),
        (message(stamp_ns=NOW - 2000 * MS), "ended 1.900 s before it arrived"),
        (message(positions=[[1.0, 2.0], [3.0]]), "has 1, 2 positions per point for 2 joints"),
        (message(velocities=[[1.0, 2.0], [0.0, 0.0]]), "has 0 positions per point"),
        (
            message(positions=[[1.0, 2.0], [3.0, 4.0]], velocities=[[], [0.0, 0.0]]),
            "has 0, 2 velocities per point",
        ),
        (message(positions=[[1.0, np.nan], [3.0, 4.0]]), "positions that are not finite"),
    ],
)
def test_what_a_controller_would_reject_raises(msg: JointTrajectory, reason: str) -> None:
    with pytest.raises(StreamError, match=reason):
        read(msg)


def test_commands_in_the_controller_s_names_and_units_are_recorded_in_the_contract_s() -> None:
    """Percent and a mirrored joint: the velocities are scaled, too."""
    robot = parse_mapping(["a = x * 0.01", "b = y * -1 + 0.5"], ("a", "b"), "")
    fields = {"positions": [[0.1, 50.0], [0.3, 100.0]], "velocities": [[1.0, 500.0], [2.0, 0.0]]}
    found = commanded_trajectory(message(names=("y", "x"), **fields), robot, NOW, np.zeros(2))
    np.testing.assert_allclose(found.positions, [[0.5, 0.4], [1.0, 0.2]])
    np.testing.assert_allclose(found.velocities, [[5.0, -1.0], [0.0, -2.0]])
    with pytest.raises(StreamError, match="trajectory is for joints b, a; the controller has x, y"):
        commanded_trajectory(message(**fields), robot, NOW, np.zeros(2))

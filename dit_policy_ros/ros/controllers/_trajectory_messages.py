# SPDX-License-Identifier: Apache-2.0
"""Converts plans and chunks to trajectory_msgs/JointTrajectory."""

from array import array

import numpy as np
from builtin_interfaces.msg import Duration
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from dit_policy_ros.core.contract import Contract, ControllerType
from dit_policy_ros.core.motion import Chunk, Plan
from dit_policy_ros.ros.common import to_stamp

_ROUNDING = 1e-9  # [rad or m]


def plan_messages(plan: Plan, contract: Contract) -> dict[str, JointTrajectory]:
    """One message per joint_trajectory_controller, by name, in its own names and units.

    All are stamped with the plan's first knot.
    """
    limits = contract.limits
    inside = np.clip(plan.positions, limits.position_min, limits.position_max)  # (K, A)
    # Rounding errors beyond a limit are removed: the controller manager would report a gripper at -1e-23 m as
    # a limit violation, once a second.
    rounded = np.abs(plan.positions - inside) < _ROUNDING  # (K, A)
    knots = np.where(rounded, inside, plan.positions)  # (K, A)
    stamp, offsets = to_stamp(int(plan.times_ns[0])), _durations(plan.times_ns - plan.times_ns[0])
    messages = {}
    for controller in contract.controllers:
        if controller.type is not ControllerType.JOINT_TRAJECTORY:
            continue
        columns = contract.indices(controller)  # (A_c,)
        robot = controller.mapping
        positions = _rows(robot.inverse(knots[:, columns]))  # (K, A_c)
        velocities = _rows(robot.inverse_rates(plan.velocities[:, columns]))  # (K, A_c)
        message = JointTrajectory(joint_names=list(robot.sources))
        message.header.stamp = stamp
        message.points = [
            JointTrajectoryPoint(positions=p, velocities=v, time_from_start=offset)
            for p, v, offset in zip(positions, velocities, offsets, strict=True)
        ]
        messages[controller.name] = message
    return messages


def chunk_message(chunk: Chunk, joints: tuple[str, ...]) -> JointTrajectory:
    """A raw chunk for plots: all joints in one message, stamped with the observation's time."""
    message = JointTrajectory(joint_names=list(joints))
    message.header.stamp = to_stamp(chunk.stamp_ns)
    offsets = _durations(np.arange(len(chunk.actions), dtype=np.int64) * chunk.period_ns)
    message.points = [
        JointTrajectoryPoint(positions=row, time_from_start=offset)
        for row, offset in zip(_rows(chunk.actions), offsets, strict=True)
    ]
    return message


def _rows(values: np.ndarray) -> list[array]:
    """The rows of (K, A) as array("d"): rclpy copies those at once, but checks every number of a list."""
    return [array("d", row.tobytes()) for row in values]


def _durations(offsets_ns: np.ndarray) -> list[Duration]:
    seconds, nanoseconds = np.divmod(offsets_ns, 1_000_000_000)
    return [Duration(sec=int(s), nanosec=int(n)) for s, n in zip(seconds, nanoseconds, strict=True)]

# SPDX-License-Identifier: Apache-2.0
"""The last look at a message before it goes to joint_trajectory_controller.

Every rule by which the controller rejects a message without telling the sender (validate_trajectory_msg of
joint_trajectory_controller.cpp), and what it should reject and does not: NaN, and a joint named twice.
`check_plan` looks at the numbers; this looks at what became of them on the way to the wire.
"""

import math
from itertools import pairwise

from builtin_interfaces.msg import Duration
from trajectory_msgs.msg import JointTrajectory

from dit_policy_ros.core.contract import NANOSECONDS, Controller
from dit_policy_ros.core.errors import PlanRejected
from dit_policy_ros.core.problems import listing
from dit_policy_ros.ros.common import stamp_ns


def check_trajectory(message: JointTrajectory, controller: Controller, now_ns: int) -> None:
    """Refuse a message that the controller would reject, or execute to its damage.

    Raises:
        PlanRejected: naming the controller, the rule and what came.
    """
    if broken := _broken_rule(message, controller, now_ns):
        raise PlanRejected(f"the message to {controller.name} {broken}")


def _broken_rule(message: JointTrajectory, controller: Controller, now_ns: int) -> str:
    names, points = list(message.joint_names), message.points
    if sorted(names) != sorted(controller.joints):
        return f"names the joints {listing(names)}; the controller owns {listing(controller.joints)}"
    if not points:
        return "has no points"
    for index, point in enumerate(points):
        lengths = {"positions": len(point.positions), "velocities": len(point.velocities)}
        if wrong := {field: n for field, n in lengths.items() if n != len(names)}:
            return f"has {wrong} for {len(names)} joints at point {index}"
        if len(point.accelerations) not in (0, len(names)) or len(point.effort):
            return f"has accelerations for some joints only, or effort, at point {index}"
        values = (*point.positions, *point.velocities, *point.accelerations)
        if not all(math.isfinite(value) for value in values):
            return f"is not finite at point {index}"
    offsets = [_nanoseconds(point.time_from_start) for point in points]
    if any(later <= earlier for earlier, later in pairwise(offsets)):
        return "has times that are not strictly increasing"
    if any(points[-1].velocities):
        return f"ends with the velocities {list(points[-1].velocities)} instead of at rest"
    start_ns = stamp_ns(message.header.stamp)
    if not start_ns + offsets[0] <= now_ns < start_ns + offsets[-1]:
        first, last = ((start_ns + offset - now_ns) / NANOSECONDS for offset in (offsets[0], offsets[-1]))
        return f"spans {first:+.3f} s to {last:+.3f} s from now; it must have begun and not be over"
    return ""


def _nanoseconds(duration: Duration) -> int:
    return duration.sec * NANOSECONDS + duration.nanosec

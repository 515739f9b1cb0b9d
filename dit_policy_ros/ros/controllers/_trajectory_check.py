# SPDX-License-Identifier: Apache-2.0
"""Checks a trajectory message before it is published.

joint_trajectory_controller rejects a bad message in its own log only, so the sender never learns of it. This
module applies the controller's rules first (validate_trajectory_msg of joint_trajectory_controller.cpp), and
two that the controller lacks: no NaN, and no joint named twice. `check_plan` checks the plan; this checks the
message that was made from it.
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
    """Refuse a message that the controller would reject, or should reject and would execute.

    Args:
        message: the message to publish.
        controller: the controller that it is for.
        now_ns: present time of the node's clock [ns].

    Raises:
        PlanRejected: naming the controller, the broken rule and the value.
    """
    if broken := _broken_rule(message, controller, now_ns):
        raise PlanRejected(f"the message to {controller.name} {broken}")


def _broken_rule(message: JointTrajectory, controller: Controller, now_ns: int) -> str:
    names, points = list(message.joint_names), list(message.points)
    owned = controller.mapping.sources
    if sorted(names) != sorted(owned):
        return f"names the joints {listing(names)}; the controller owns {listing(owned)}"
    if not points:
        return "has no points"
    for index, point in enumerate(points):
        for field, length in (("positions", len(point.positions)), ("velocities", len(point.velocities))):
            if length != len(names):
                return f"has {length} {field} for {len(names)} joints at point {index}"
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
        return f"spans {first:+.3f} s to {last:+.3f} s from now; it must have begun and must not be over"
    return ""


def _nanoseconds(duration: Duration) -> int:
    return duration.sec * NANOSECONDS + duration.nanosec

# SPDX-License-Identifier: Apache-2.0
"""The entry of /diagnostics about the controllers: who is heard, since when, and whose clock is off."""

from diagnostic_msgs.msg import DiagnosticStatus

from dit_policy_ros.core.motion import clock_tolerance
from dit_policy_ros.ros.common import Health
from dit_policy_ros.ros.controllers._controller_interface import ControllerInterface


def controller_health(
    prefix: str,
    controllers: ControllerInterface,
    joint_states_offset: float | None,
    now_ns: int,
    commanding: bool,
) -> DiagnosticStatus:
    """Make the entry.

    Args:
        prefix: the node's name.
        controllers: of the robot.
        joint_states_offset: how far the clock of the joint states is behind ours [s]; None: unknown.
        now_ns: present time of the node's clock [ns].
        commanding: whether the node commands the controllers; if not, nothing is wrong with them.
    """
    health = Health(f"{prefix}: controllers", controllers.contract.robot_type)
    low, high = clock_tolerance(controllers.contract.dt)
    accepted = f"error outside {low:.3f} to {high:.3f}"
    offsets = controllers.states.clock_offsets()
    if joint_states_offset is not None:
        offsets["joint_states"] = joint_states_offset
    for name, (age, deadline) in controllers.states.ages(now_ns).items():
        health.figure(f"{name}: state age", age, "s", f"error above {deadline:.3g}")
    for name, offset in offsets.items():
        health.figure(f"{name}: clock behind ours", offset, "s", accepted)
    if unwatched := controllers.states.unwatched():
        health.figure("without controller_state", ", ".join(unwatched), limit="only subscribers are counted")
    if not commanding:
        return health.status("not commanded")
    for problem in (controllers.fault(now_ns), controllers.other_commander(now_ns)):
        health.error_if(bool(problem), problem)
    return health.status("the controllers follow")

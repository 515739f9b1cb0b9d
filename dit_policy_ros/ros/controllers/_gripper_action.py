# SPDX-License-Identifier: Apache-2.0
"""The action type of parallel grippers, which not every installation has and most robots do not need."""

from typing import Any

from dit_policy_ros.core.errors import ContractError


def parallel_gripper_command(controller: str) -> Any:
    """The type control_msgs/action/ParallelGripperCommand, for the controller of that name.

    Raises:
        ContractError: control_msgs is not installed.
    """
    try:
        from control_msgs.action import ParallelGripperCommand
    except ImportError as error:
        raise ContractError(
            f"{controller} is a parallel_gripper_controller, which is commanded by the action "
            f"control_msgs/action/ParallelGripperCommand, and that cannot be imported ({error}). Install it: "
            "sudo apt install ros-$ROS_DISTRO-control-msgs; without an installed ROS, make setup provides it."
        ) from error
    return ParallelGripperCommand

# SPDX-License-Identifier: Apache-2.0
"""Action client for a parallel_gripper_controller: sends position goals.

The controller (parallel_gripper_action_controller of ros2_controllers) moves to the newest goal at its own
speed and stays there. It also stays there when the goal ends as stalled, because the fingers hold an object.
A goal is never cancelled: the controller would then command the measured position and drop the object.
"""

from collections.abc import Callable
from typing import Any

from rclpy.action.client import ActionClient
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node

from dit_policy_ros.core.contract import NANOSECONDS, Controller
from dit_policy_ros.core.errors import ContractError

# A new goal is sent when the command has moved by the large step; or by the small step, if the last goal was
# sent a while ago.
_LARGE_STEP, _SMALL_STEP = 0.02, 0.001  # [fraction of the stroke]
_SMALL_STEP_AFTER_NS = 200_000_000
_ANSWER_TIMEOUT_NS = NANOSECONDS


def parallel_gripper_command(controller: str) -> Any:
    """Import the action type control_msgs/action/ParallelGripperCommand.

    Not every installation has control_msgs, and most robots do not need it.

    Args:
        controller: the controller's name, for the error message.

    Raises:
        ContractError: control_msgs is not installed.
    """
    try:
        from control_msgs.action import ParallelGripperCommand
    except ImportError as error:
        raise ContractError(
            f"{controller} is a parallel_gripper_controller, which needs the action "
            f"control_msgs/action/ParallelGripperCommand, but that cannot be imported ({error}). Install it: "
            "sudo apt install ros-$ROS_DISTRO-control-msgs. Without an installed ROS, make setup provides it."
        ) from error
    return ParallelGripperCommand


class GripperClient:
    """Follows a commanded position by sending one goal at a time."""

    def __init__(
        self, node: Node, controller: Controller, stroke: float, on_rejected: Callable[[str], None]
    ) -> None:
        """Create the action client. It connects in the background.

        Args:
            node: owns the action client.
            controller: the gripper's controller; it has one joint.
            stroke: the joint's range [m or rad].
            on_rejected: called with the reason when the controller rejects a goal.

        Raises:
            ContractError: control_msgs is not installed.
        """
        self._action = parallel_gripper_command(controller.name)
        self._client = ActionClient(
            node, self._action, controller.action, callback_group=MutuallyExclusiveCallbackGroup()
        )
        self._controller, self._stroke, self._on_rejected = controller, stroke, on_rejected
        self._goal: float | None = None  # last position sent; None: not started, nothing is sent
        self._sent_ns = 0
        self._is_answered = True

    @property
    def action_name(self) -> str:
        """The action's full name."""
        return self._client._action_name

    def is_connected(self) -> bool:
        """Whether the action server is available."""
        return self._client.server_is_ready()

    def start(self, position: float) -> None:
        """Take ``position`` [m or rad] as the present goal, without sending it."""
        self._goal, self._sent_ns, self._is_answered = position, 0, True

    def command(self, position: float, now_ns: int) -> None:
        """Send ``position`` [m or rad] as a goal, if it differs enough from the last one."""
        if self._goal is None or not self._is_answered:
            return
        moved = abs(position - self._goal) / self._stroke
        if moved > _LARGE_STEP or (moved > _SMALL_STEP and now_ns - self._sent_ns >= _SMALL_STEP_AFTER_NS):
            goal = self._action.Goal()
            goal.command.name = list(self._controller.joints)
            goal.command.position = [position]
            self._goal, self._sent_ns, self._is_answered = position, now_ns, False
            self._client.send_goal_async(goal).add_done_callback(self._on_answer)

    def fault(self, now_ns: int) -> str:
        """What is wrong with the controller at ``now_ns``; empty if nothing is."""
        if not self._is_answered and now_ns - self._sent_ns > _ANSWER_TIMEOUT_NS:
            return (
                f"{self._controller.name} has not answered a goal for {_ANSWER_TIMEOUT_NS / 1e9:g} s: is its "
                "action server running?"
            )
        return ""

    def close(self) -> None:
        """Destroy the action client. The gripper keeps its last goal."""
        self._client.destroy()

    def _on_answer(self, future: Any) -> None:
        self._is_answered = True
        if not future.result().accepted:
            self._on_rejected(f"{self._controller.name} rejected the goal {self._goal:g}: its log says why")

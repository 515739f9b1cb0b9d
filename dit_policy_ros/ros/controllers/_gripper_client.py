# SPDX-License-Identifier: Apache-2.0
"""A parallel_gripper_controller as the policy node commands it: position goals to its action.

The controller (parallel_gripper_action_controller of ros2_controllers) goes to the newest goal's position at
its own speed and stays there, also when the goal ends as stalled because the fingers hold something. It is
never sent a cancellation: that would make it command the measured position, and what it holds would drop.
"""

from collections.abc import Callable
from typing import Any

from rclpy.action import ActionClient
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node

from dit_policy_ros.core.contract import NANOSECONDS, Controller
from dit_policy_ros.ros.controllers._gripper_action import parallel_gripper_command

# A goal is sent when the command has moved by so much of the joint's range, or by less some time later.
_COARSE, _FINE = 0.02, 0.001  # [fraction of the range]
_SETTLED_NS = 200_000_000
_ANSWER_WITHIN_NS = NANOSECONDS


class GripperClient:
    """Follows a commanded position with goals, one at a time."""

    def __init__(
        self, node: Node, controller: Controller, stroke: float, on_rejected: Callable[[str], None]
    ) -> None:
        """Connect in the background.

        Args:
            stroke: the joint's range [m or rad].
            on_rejected: told why, when the controller does not take a goal.

        Raises:
            ContractError: control_msgs is not installed.
        """
        self._action = parallel_gripper_command(controller.name)
        self._client = ActionClient(
            node, self._action, controller.action, callback_group=MutuallyExclusiveCallbackGroup()
        )
        self._controller, self._stroke, self._on_rejected = controller, stroke, on_rejected
        self._goal: float | None = None  # what the gripper was told last; None leaves it alone
        self._sent_ns = 0
        self._answered = True

    @property
    def address(self) -> str:
        """The action's full name."""
        return self._client._action_name

    def connected(self) -> bool:
        """Whether the controller is there."""
        return self._client.server_is_ready()

    def begin(self, position: float) -> None:
        """Start from a position [m or rad] at which the gripper is left until something else is wanted."""
        self._goal, self._sent_ns, self._answered = position, 0, True

    def follow(self, position: float, now_ns: int) -> None:
        """Have the gripper be at a position [m or rad] now, unless it was told about that already."""
        if self._goal is None or not self._answered:
            return
        moved = abs(position - self._goal) / self._stroke
        if moved > _COARSE or (moved > _FINE and now_ns - self._sent_ns >= _SETTLED_NS):
            goal = self._action.Goal()
            goal.command.name = list(self._controller.joints)
            goal.command.position = [position]
            self._goal, self._sent_ns, self._answered = position, now_ns, False
            self._client.send_goal_async(goal).add_done_callback(self._on_answer)

    def trouble(self, now_ns: int) -> str:
        """What is wrong with the controller; empty where nothing is."""
        if not self._answered and now_ns - self._sent_ns > _ANSWER_WITHIN_NS:
            return f"{self._controller.name} has not answered a goal for {_ANSWER_WITHIN_NS / 1e9:g} s"
        return ""

    def close(self) -> None:
        """Disconnect; the gripper keeps its last goal."""
        self._client.destroy()

    def _on_answer(self, future: Any) -> None:
        self._answered = True
        if not future.result().accepted:
            self._on_rejected(f"{self._controller.name} rejects the goal {self._goal:g}: see its log")

# SPDX-License-Identifier: Apache-2.0
"""The action server of a simulated parallel_gripper_controller."""

from typing import Any

from rclpy.action.server import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.task import Future

from dit_policy_ros.ros.controllers import parallel_gripper_command
from dit_policy_ros.sim.controllers import GoalEnd, ParallelGripperController

_MONITOR_PERIOD = 0.05  # [s] the default of action_monitor_rate


class GripperServer:
    """Serves <controller>/gripper_cmd. A new goal preempts the running one, as in the real controller."""

    def __init__(self, node: Node, controller: ParallelGripperController, action: str) -> None:
        """action: its name. Raises ContractError if control_msgs is not installed."""
        self._type = parallel_gripper_command(controller.name)
        self._node, self._controller = node, controller
        self._end: Future = Future()  # of the running goal: a GoalEnd, or None if it is preempted
        self._end.set_result(None)
        group = MutuallyExclusiveCallbackGroup()
        self._server = ActionServer(
            node,
            self._type,
            action,
            execute_callback=self._execute,
            goal_callback=self._on_goal,
            cancel_callback=self._on_cancel,
            callback_group=group,
        )
        self._timer = node.create_timer(_MONITOR_PERIOD, self._monitor, callback_group=group)

    def _on_goal(self, goal: Any) -> GoalResponse:
        reason = self._controller.accept(tuple(goal.command.position))
        if reason is None:
            return GoalResponse.ACCEPT
        self._node.get_logger().error(f"{self._controller.name} rejects a goal: {reason}")
        return GoalResponse.REJECT

    def _on_cancel(self, _: Any) -> CancelResponse:
        """Like the real controller, command the measured position from now on."""
        self._node.get_logger().error(f"{self._controller.name}: a goal was cancelled, so the grip is lost")
        self._controller.release()
        return CancelResponse.ACCEPT

    async def _execute(self, goal_handle: Any) -> Any:
        if not self._end.done():
            self._end.set_result(None)
        self._end = Future()
        end: GoalEnd | None = await self._end
        result = self._type.Result()
        if goal_handle.is_cancel_requested:
            goal_handle.canceled()
        elif end is None or not end.reached:
            goal_handle.abort()
        else:
            goal_handle.succeed()
        if end is not None:
            result.state.name, result.state.position = list(self._controller.joints), [end.position]
            result.reached_goal, result.stalled = end.reached, end.stalled
        return result

    def _monitor(self) -> None:
        if not self._end.done() and self._controller.end is not None:
            self._end.set_result(self._controller.end)

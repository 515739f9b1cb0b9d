# SPDX-License-Identifier: Apache-2.0
"""Action client for a parallel_gripper_controller: sends position goals.

The controller (parallel_gripper_action_controller of ros2_controllers) moves to the newest goal at its own
speed and stays there. It also stays there when the goal ends as stalled, because the fingers hold an object.
A goal is never cancelled: the controller would then command the measured position and drop the object.

Every wait for an answer ends. A goal that is not answered in time is a fault, and is sent again until a
controller answers. If the controller disappears, the goal is given up. When it is back, the next one is sent.
"""

import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from action_msgs.msg import GoalStatus, GoalStatusArray
from rclpy.action.client import ActionClient
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode
from unique_identifier_msgs.msg import UUID

from dit_policy_ros.core.contract import NANOSECONDS, Controller
from dit_policy_ros.core.errors import ContractError
from dit_policy_ros.ros.common import UnwatchedGroup, qos, take_messages
from dit_policy_ros.ros.controllers._commander_watch import CommanderWatch
from dit_policy_ros.ros.controllers._goal_watch import COUNTS_FOR

# A new goal is sent when the command has moved by the large step; or by the small step, if the last goal was
# sent a while ago.
_LARGE_STEP, _SMALL_STEP = 0.02, 0.001  # [fraction of the stroke]
_SMALL_STEP_AFTER_NS = 200_000_000
_ANSWER_TIMEOUT_NS = NANOSECONDS
_KNOWN_GOALS = 1000  # own goals that we recognise in the controller's status
_RUNNING = (GoalStatus.STATUS_ACCEPTED, GoalStatus.STATUS_EXECUTING)


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


@dataclass(frozen=True, slots=True)
class GripperLimits:
    """The range of a gripper's joint [m or rad], and its velocity limit [m/s or rad/s]."""

    stroke: float
    velocity: float


class GripperClient:
    """Follows a commanded position by sending one goal at a time. Thread-safe."""

    def __init__(
        self,
        node: LifecycleNode,
        controller: Controller,
        limits: GripperLimits,
        on_rejected: Callable[[str], None],
        commanders: CommanderWatch,
    ) -> None:
        """Create the action client. It connects in the background.

        Args:
            node: owns the action client.
            controller: the gripper's controller; it has one joint.
            limits: of its joint.
            on_rejected: called with the reason when the controller rejects a goal.
            commanders: watches for other clients of the action.

        Raises:
            ContractError: control_msgs is not installed.
        """
        self._action = parallel_gripper_command(controller.name)
        self._node, self._controller, self._limits = node, controller, limits
        self._on_rejected = on_rejected
        group = MutuallyExclusiveCallbackGroup()
        self._client = commanders.create_action_client(
            controller.name,
            controller.action,
            lambda: ActionClient(node, self._action, controller.action, callback_group=group),
        )
        self._status = node.create_subscription(
            GoalStatusArray, f"{controller.action}/_action/status", lambda _: None, qos.ACTION_STATUS,
            callback_group=UnwatchedGroup(),
        )  # fmt: skip
        self._lock = threading.RLock()
        self._is_started = False
        self._commanded: float | None = None  # goal that the controller has; None: unknown
        self._asked: float | None = None  # goal that is not answered; None: all are
        self._asked_ns = self._sent_ns = 0  # when it was sent first, and when the last goal was
        self._pending: list[Any] = []  # futures of the goals that are not answered
        self._was_connected = False
        self._own_goals: deque[bytes] = deque(maxlen=_KNOWN_GOALS)
        self._goals_before: set[bytes] = set()  # accepted before the start; they are nobody's fault
        self._listed_goals: set[bytes] | None = None  # by the newest status; it keeps ended ones for a while
        self._running_goals: set[bytes] = set()  # of these
        self._foreign_at = -math.inf  # when another node's goal was first listed, time.monotonic() [s]

    @property
    def action_name(self) -> str:
        """The action's full name."""
        return self._client._action_name

    def is_connected(self) -> bool:
        """Whether the action server is available."""
        return self._client.server_is_ready()

    def start(self, position: float) -> None:
        """Take `position` [m or rad] as the present goal, without sending it."""
        with self._lock:
            self._give_up()
            self._is_started, self._commanded, self._sent_ns = True, position, 0
            self._take_status()
            self._goals_before, self._foreign_at = set(self._running_goals), -math.inf

    def command(self, position: float, now_ns: int) -> None:
        """Send `position` [m or rad] as a goal, if it differs enough from the last one.

        A goal is no further from the last one than the joint gets in the meantime at its velocity limit.
        """
        with self._lock:
            if not self._is_started or self._asked is not None:
                return
            if self._commanded is None:
                self._send(position, now_ns)
                return
            since_ns = now_ns - self._sent_ns
            step = position - self._commanded
            moved = abs(step) / self._limits.stroke
            if moved > _LARGE_STEP or (moved > _SMALL_STEP and since_ns >= _SMALL_STEP_AFTER_NS):
                longest = self._limits.velocity * min(max(since_ns, 0), _SMALL_STEP_AFTER_NS) / NANOSECONDS
                self._send(self._commanded + min(max(step, -longest), longest), now_ns)

    def fault(self, now_ns: int) -> str:
        """What is wrong with the controller at `now_ns`; empty if nothing is.

        It also asks a controller again that does not answer.
        """
        connected = self.is_connected()
        with self._lock:
            if self._was_connected and not connected:
                # After its return it holds another position, and does not know the goal.
                self._give_up()
                self._commanded = None
            self._was_connected = connected
            # After a clock that was set back, the wait begins anew: it would last as long as the step.
            self._asked_ns, self._sent_ns = min(self._asked_ns, now_ns), min(self._sent_ns, now_ns)
            if self._asked is None or now_ns - self._asked_ns <= _ANSWER_TIMEOUT_NS:
                return ""
            if connected and now_ns - self._sent_ns > _ANSWER_TIMEOUT_NS:
                self._request(self._asked, now_ns)
            return (
                f"{self._controller.name} has not answered a goal for {_ANSWER_TIMEOUT_NS / 1e9:g} s: is its "
                "action server running?"
            )

    def foreign_goal(self) -> str:
        """Says that another node's goal is running, or was sent a moment ago; empty if none was.

        A goal may end between two calls.
        """
        with self._lock:
            self._take_status()
            running = self._running_goals - self._goals_before - set(self._own_goals)
            if running or time.monotonic() - self._foreign_at < COUNTS_FOR:
                return f"{self._controller.name} follows a goal of another node (ros2 node list)"
        return ""

    def close(self) -> None:
        """Destroy the action client. The gripper keeps its last goal."""
        with self._lock:
            self._give_up()
            self._is_started = False
        self._node.destroy_subscription(self._status)
        self._client.destroy()

    def _send(self, position: float, now_ns: int) -> None:
        self._asked, self._asked_ns = position, now_ns
        self._request(position, now_ns)

    def _request(self, position: float, now_ns: int) -> None:
        goal, goal_id = self._action.Goal(), uuid.uuid4().bytes
        robot = self._controller.mapping
        goal.command.name = list(robot.sources)
        goal.command.position = robot.inverse(np.array([position])).tolist()
        self._sent_ns = now_ns
        self._own_goals.append(goal_id)
        future = self._client.send_goal_async(goal, goal_uuid=UUID(uuid=list(goal_id)))
        self._pending.append(future)
        future.add_done_callback(self._on_answer)

    def _give_up(self) -> None:
        """Wait no longer for an answer."""
        pending, self._pending, self._asked = self._pending, [], None
        for future in pending:
            future.cancel()

    def _on_answer(self, future: Any) -> None:
        with self._lock:
            if future not in self._pending:
                return  # given up
            self._pending.remove(future)
            answer = None if future.cancelled() or future.exception() else future.result()
            if answer is None or self._asked is None:
                return  # `fault` asks again
            position = self._asked
            self._commanded = position if answer.accepted else None
            self._give_up()
        if not answer.accepted:
            self._on_rejected(f"{self._controller.name} rejected the goal {position:g}: its log says why")

    def _take_status(self) -> None:
        for message in take_messages(self._status):
            goals = {bytes(each.goal_info.goal_id.uuid): each.status for each in message.status_list}
            if self._listed_goals is not None and goals.keys() - self._listed_goals - set(self._own_goals):
                self._foreign_at = time.monotonic()
            self._listed_goals = set(goals)
            self._running_goals = {goal for goal, status in goals.items() if status in _RUNNING}

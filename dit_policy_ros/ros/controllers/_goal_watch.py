# SPDX-License-Identifier: Apache-2.0
"""Notices goals that others send to the action of a joint_trajectory_controller.

We send messages, never goals. A controller takes both, and the newest wins. Whoever only has a client of the
action commands nothing (MoveIt has one for each controller), so what counts is a goal.
"""

import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

from action_msgs.msg import GoalStatus, GoalStatusArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import qos_profile_action_status_default

from dit_policy_ros.core.contract import Controller

_ACTIVE = (GoalStatus.STATUS_ACCEPTED, GoalStatus.STATUS_EXECUTING, GoalStatus.STATUS_CANCELING)
# A new goal counts this long. Its status tells no more: it stays active while our plans are executed.
COUNTS_FOR = 2.0  # [s]


class GoalWatch:
    """Subscribes to the status of each controller's follow_joint_trajectory. Thread-safe."""

    def __init__(self, node: Node, controllers: Iterable[Controller]) -> None:
        """Subscribe for controllers."""
        self._node = node
        self._lock = threading.Lock()
        self._active: dict[str, frozenset[bytes]] = {}  # goals by controller
        self._listed: dict[str, frozenset[bytes]] = {}  # with those that have ended
        self._news: dict[str, float] = {}  # when the newest goal was seen, by controller [s]
        group = MutuallyExclusiveCallbackGroup()
        self._subscriptions: dict[str, Any] = {
            each.name: node.create_subscription(
                GoalStatusArray,
                f"{each.trajectory_action}/_action/status",
                partial(self._on_status, each.name),
                qos_profile_action_status_default,
                callback_group=group,
            )
            for each in controllers
        }

    def active(self) -> list[str]:
        """One line per controller that has a goal now."""
        with self._lock:
            return [self._line(name, "has") for name, goals in self._active.items() if goals]

    def others(self) -> list[str]:
        """One line per controller that was sent a goal a moment ago."""
        now = time.monotonic()
        with self._lock:
            return [self._line(name, "was sent") for name, at in self._news.items() if now - at < COUNTS_FOR]

    def close(self) -> None:
        """Destroy the subscriptions."""
        with self._lock:
            self._active.clear()
            self._news.clear()
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _on_status(self, controller: str, message: GoalStatusArray) -> None:
        goals = {bytes(each.goal_info.goal_id.uuid): each.status for each in message.status_list}
        active = frozenset(goal for goal, status in goals.items() if status in _ACTIVE)
        with self._lock:
            # A goal may have ended before its first status came. In the first message those are old ones.
            news = active if controller not in self._listed else goals.keys() - self._listed[controller]
            if news:
                self._news[controller] = time.monotonic()
            self._active[controller], self._listed[controller] = active, frozenset(goals)

    def _line(self, controller: str, has: str) -> str:
        action = self._subscriptions[controller].topic_name.removesuffix("/_action/status")
        return (
            f"{controller} {has} another node's goal ({action}): stop that node, or wait for the goal's end"
        )

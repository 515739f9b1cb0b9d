# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node that is brought up once, and whose failed transitions are reported."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from launch import LaunchContext
from launch.actions import EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.events import matches_action
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.logging import get_logger
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.ros_adapters import get_ros_node
from lifecycle_msgs.msg import Transition
from rclpy.subscription import Subscription

from dit_policy_ros.core.share import PACKAGE
from dit_policy_ros.ros.common import qos
from dit_policy_ros.ros.launching._actions import TIME_TO_STOP, end_launch, robot_topic, value


def lifecycle_node(
    context: LaunchContext, executable: str, parameters: Sequence[Any]
) -> list[LaunchDescriptionEntity]:
    """A lifecycle node, which is configured and activated once if autostart is true.

    A failed transition is logged with the commands that try it again. The other processes keep running, so
    that the user can fix the cause. When the node's process ends, the launch ends.
    """
    node = node_action(context, executable, parameters)
    start = _Autostart(node, robot_topic(context)) if value(context, "autostart") == "true" else None
    return [
        _on_transition(node, "configuring", "unconfigured", _failure(node, "configure", start)),
        _on_transition(node, "errorprocessing", "unconfigured", _failure(node, "configure", start)),
        _on_transition(node, "activating", "inactive", _failure(node, "activate", start)),
        *([_on_transition(node, "configuring", "inactive", start.activate)] if start else []),
        node,
        *([_trigger(node, Transition.TRANSITION_CONFIGURE)] if start else []),
    ]


def node_action(context: LaunchContext, executable: str, parameters: Sequence[Any]) -> LifecycleNode:
    """A lifecycle node whose transitions somebody else runs. When its process ends, the launch ends."""
    name = value(context, "node_name")
    return LifecycleNode(
        package=PACKAGE,
        executable=executable,
        name=name,
        namespace="",  # that of the launch, see launch_description
        output="screen",
        parameters=list(parameters),
        sigterm_timeout=TIME_TO_STOP,
        on_exit=end_launch(f"{name} ended"),
    )


class _Autostart:
    """Activates a node after the launch has configured it, and never again.

    A node that somebody configures later, to change a parameter or after a failure, must not begin to move.
    """

    def __init__(self, node: LifecycleNode, robot: str) -> None:
        """robot: topic that the launched robot publishes when it is up; empty for a robot that is there."""
        self._node, self._robot, self._is_pending = node, robot, True
        self._subscription: Subscription | None = None

    def activate(self, context: LaunchContext) -> None:
        """Activate the node as soon as the robot is up.

        A simulator that finds another robot does not come up. The policy must not command that one instead.
        """
        if not self._is_pending:
            return
        self.end()
        event = ChangeState(
            lifecycle_node_matcher=matches_action(self._node), transition_id=Transition.TRANSITION_ACTIVATE
        )

        def emit() -> None:
            if self._subscription is not None:
                get_ros_node(context).destroy_subscription(self._subscription)
                self._subscription = None
            context.emit_event_sync(event)

        def on_message(_: DiagnosticStatus) -> None:  # in the thread of launch's own node
            if not is_up.is_set():
                is_up.set()
                context.asyncio_loop.call_soon_threadsafe(emit)

        if self._robot:
            is_up = threading.Event()
            self._subscription = get_ros_node(context).create_subscription(
                DiagnosticStatus, self._robot, on_message, qos.STATUS
            )
        else:
            emit()

    def end(self) -> None:
        """From now on everything is done by hand."""
        self._is_pending = False


def _failure(
    node: LifecycleNode, transition: str, start: _Autostart | None
) -> Callable[[LaunchContext], None]:
    """Logs that a transition has failed, and how to try it again."""

    def log(_: LaunchContext) -> None:
        if start is not None:
            start.end()
        state = "inactive" if transition == "activate" else "unconfigured"
        transitions = ["configure", "activate"][transition == "activate" :]
        commands = "; ".join(f"ros2 lifecycle set {node.node_name} {each}" for each in transitions)
        get_logger(node.node_name.rpartition("/")[2]).error(
            f"could not {transition} and is {state}. The node's own message above says why. Fix the cause, "
            f"then run: {commands}"
        )

    return log


def _trigger(node: LifecycleNode, transition: int) -> EmitEvent:
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))


def _on_transition(
    node: LifecycleNode, start_state: str, goal_state: str, function: Callable[[LaunchContext], Any]
) -> RegisterEventHandler:
    return RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=node,
            start_state=start_state,
            goal_state=goal_state,
            entities=[OpaqueFunction(function=function)],
        )
    )

# SPDX-License-Identifier: Apache-2.0
"""Calls the services of running nodes and waits for what they publish."""

import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import GetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

from dit_policy_ros.core.child_processes import Child
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.evaluation.session._interrupts import deferred_interrupts
from dit_policy_ros.ros.common import is_value
from dit_policy_ros.srv import SetTask

APPEARS_WITHIN = 60.0  # [s] for a node's services, on a slow machine that imports torch for the first time
ANSWERS_WITHIN = 150.0  # [s] for a service; configuring loads the checkpoint and warms it up
MESSAGE_WITHIN = 30.0  # [s] for a message on a topic that is published all the time
_TRANSITIONS = {
    Transition.TRANSITION_CONFIGURE: "configured",
    Transition.TRANSITION_ACTIVATE: "activated",
    Transition.TRANSITION_DEACTIVATE: "deactivated",
}
_LOG_LINES = 15  # of a node's output, shown in an error message


class SessionError(DitPolicyError):
    """A node died, did not start, or refused a transition or a task."""


@dataclass(slots=True)
class Session:
    """This program's own ROS node, and the nodes that it started. Everything runs in the calling thread.

    Attributes:
        node: this program's node, in the namespace of the others.
        executor: spins ``node``.
        children: the processes of the other nodes; each has its node's name.
        on_spin: called after each spin.
    """

    node: Node
    executor: SingleThreadedExecutor
    children: tuple[Child, ...]
    on_spin: Callable[[], None] = lambda: None

    def spin_once(self) -> None:
        """Handle at most one message or answer. Raises SessionError when a node has ended."""
        with deferred_interrupts():
            self.executor.spin_once(timeout_sec=0.02)
        for child in self.children:
            if not child.alive:
                raise SessionError(
                    f"the node {child.name} ended with exit code {child.process.returncode}; "
                    f"the end of its output ({child.log}):\n{child.output(last_lines=_LOG_LINES)}"
                )
        self.on_spin()

    def spin_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Spin until the condition holds (True) or ``timeout`` [s] has passed (False)."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.spin_once()
        return True

    def call_service(self, service_type: Any, name: str, request: Any) -> Any:
        """Call a service and return its answer. Raises SessionError when there is no answer in time."""
        client = self.node.create_client(service_type, name)
        try:
            if not self.spin_until(client.service_is_ready, APPEARS_WITHIN):
                raise SessionError(f"the service {name} did not appear within {APPEARS_WITHIN:g} s")
            future = client.call_async(request)
            if not self.spin_until(future.done, ANSWERS_WITHIN):
                raise SessionError(f"the service {name} did not answer within {ANSWERS_WITHIN:g} s")
            return future.result()
        finally:
            self.node.destroy_client(client)

    def change_state(self, transition: int, node: str = "policy") -> None:
        """Take a node through one lifecycle transition. Raises SessionError with the node's reason."""
        request = ChangeState.Request(transition=Transition(id=transition))
        if not self.call_service(ChangeState, f"{node}/change_state", request).success:
            child = next(child for child in self.children if child.name == node)
            raise SessionError(
                f"the node {node} could not be {_TRANSITIONS[transition]}; the end of its output "
                f"({child.log}):\n{child.output(last_lines=_LOG_LINES)}"
            )

    def parameters(self, names: Sequence[str], node: str = "policy") -> dict[str, Any]:
        """The values of a node's parameters, as the node itself says.

        Raises:
            SessionError: the node does not have all of them, or does not answer.
        """
        request = GetParameters.Request(names=list(names))
        values = self.call_service(GetParameters, f"{node}/get_parameters", request).values
        if len(values) != len(names):  # rclpy gives no value at all then
            raise SessionError(f"the node {node} does not have all of the parameters {', '.join(names)}")
        return {
            name: list(value) if isinstance(value, array) else value
            for name, value in zip(names, map(parameter_value_to_python, values), strict=True)
        }

    def check_parameters(self, asked: Mapping[str, str], node: str = "policy") -> None:
        """Compare what was asked for with what a node uses. Raises SessionError where they differ.

        Args:
            asked: values as text, by name.
            node: its name.
        """
        used = self.parameters(list(asked), node)
        differing = [
            f"{name} should be {text}, is {used[name]!r}"
            for name, text in asked.items()
            if not is_value(used[name], text)
        ]
        if differing:
            raise SessionError(f"the node {node} does not use what was asked for: {'; '.join(differing)}")

    def set_task(self, task: str, node: str = "policy") -> None:
        """Give a node its instruction. Raises SessionError when it refuses."""
        answer = self.call_service(SetTask, f"{node}/set_task", SetTask.Request(task=task))
        if not answer.success:
            raise SessionError(f"the node {node} refuses the task: {answer.message}")

# SPDX-License-Identifier: Apache-2.0
"""The controllers as a program sees them that only looks."""

from dataclasses import dataclass, replace
from typing import Any

from rclpy.node import Node

from dit_policy_ros.core.contract import Contract, ControllerType
from dit_policy_ros.ros.controllers._controller_interface import ControllerInterface


@dataclass(frozen=True, slots=True)
class _Listeners:
    """Stands where a publisher would be: who listens is known without one."""

    node: Node
    topic_name: str

    def get_subscription_count(self) -> int:
        """How many subscriptions the topic has."""
        return self.node.count_subscribers(self.topic_name)


class ListeningControllers(ControllerInterface):
    """Watches the controllers of a contract that listen on topics, and can send nothing.

    It has no publisher and no client of an action, so that a policy node does not take it for another
    commander. Every node that commands a controller is one for it.
    """

    def __init__(self, node: Any, contract: Contract) -> None:
        """Create the watches. node: any node; it must be spinning."""
        goals = ControllerType.PARALLEL_GRIPPER
        watched = tuple(each for each in contract.controllers if each.type is not goals)
        super().__init__(node, replace(contract, controllers=watched), on_rejected=lambda _: None)

    def _create_publisher(self, controller: str, topic: str, kind: Any) -> Any:
        self.commanders.watch(controller, topic)
        return _Listeners(self._node, self._node.resolve_topic_name(topic))

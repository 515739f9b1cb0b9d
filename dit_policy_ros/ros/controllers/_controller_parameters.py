# SPDX-License-Identifier: Apache-2.0
"""Asks the controllers for their parameters, as far as they can be reached."""

import time
from collections.abc import Iterable
from typing import Any

from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

_POLL = 0.005  # [s]


class ControllerParameters:
    """Clients of the controllers' parameter services, which stand under <controller>/."""

    def __init__(self, node: Node, controllers: Iterable[str]) -> None:
        self._node = node
        group = ReentrantCallbackGroup()

        def client(kind: Any, name: str) -> Client:
            return node.create_client(kind, name, callback_group=group)

        self._clients = {
            name: (
                client(ListParameters, f"{name}/list_parameters"),
                client(GetParameters, f"{name}/get_parameters"),
            )
            for name in controllers
        }

    def read(self, timeout: float) -> dict[str, dict[str, Any]]:
        """Every parameter of every controller that answers within so long [s]; another thread must spin."""
        deadline = time.monotonic() + timeout
        ready = [
            name
            for name, clients in self._clients.items()
            if all(each.service_is_ready() for each in clients)
        ]
        asked = {name: self._clients[name][0].call_async(ListParameters.Request()) for name in ready}
        names = {name: list(answer.result.names) for name, answer in _answers(asked, deadline).items()}
        asked = {
            name: self._clients[name][1].call_async(GetParameters.Request(names=listed))
            for name, listed in names.items()
        }
        return {
            name: dict(zip(names[name], map(parameter_value_to_python, answer.values), strict=False))
            for name, answer in _answers(asked, deadline).items()
        }

    def close(self) -> None:
        """Release the clients."""
        for clients in self._clients.values():
            for each in clients:
                self._node.destroy_client(each)


def _answers(asked: dict[str, Any], deadline: float) -> dict[str, Any]:
    """The results of the futures that are done by the deadline (of the monotonic clock) [s]."""
    while time.monotonic() < deadline and not all(future.done() for future in asked.values()):
        time.sleep(_POLL)
    return {name: future.result() for name, future in asked.items() if future.done()}

# SPDX-License-Identifier: Apache-2.0
"""Reads the controllers' own parameters, from those controllers that answer."""

import time
from collections.abc import Iterable
from typing import Any

from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

from dit_policy_ros.core.contract import Controller

_POLL = 0.005  # [s]


class ControllerParameters:
    """Clients of the controllers' parameter services, ``<controller>/list_parameters`` and the like."""

    def __init__(self, node: Node, controllers: Iterable[Controller]) -> None:
        self._node = node
        group = ReentrantCallbackGroup()

        def client(service_type: Any, name: str) -> Client:
            return node.create_client(service_type, name, callback_group=group)

        self._clients = {
            each.name: (
                client(ListParameters, f"{each.node_name}/list_parameters"),
                client(GetParameters, f"{each.node_name}/get_parameters"),
            )
            for each in controllers
        }

    def read(self, timeout: float) -> dict[str, dict[str, Any]]:
        """All parameters of each controller that answers within ``timeout`` [s], by controller.

        Another thread must spin the node meanwhile.
        """
        deadline = time.monotonic() + timeout
        ready = [
            name
            for name, clients in self._clients.items()
            if all(each.service_is_ready() for each in clients)
        ]
        futures = {name: self._clients[name][0].call_async(ListParameters.Request()) for name in ready}
        names = {name: list(answer.result.names) for name, answer in _results(futures, deadline).items()}
        futures = {
            name: self._clients[name][1].call_async(GetParameters.Request(names=listed))
            for name, listed in names.items()
        }
        return {
            name: dict(zip(names[name], map(parameter_value_to_python, answer.values), strict=False))
            for name, answer in _results(futures, deadline).items()
        }

    def close(self) -> None:
        """Destroy the clients."""
        for clients in self._clients.values():
            for each in clients:
                self._node.destroy_client(each)


def _results(futures: dict[str, Any], deadline: float) -> dict[str, Any]:
    """The results of the futures that are done by the deadline (monotonic clock) [s]."""
    while time.monotonic() < deadline and not all(future.done() for future in futures.values()):
        time.sleep(_POLL)
    return {name: future.result() for name, future in futures.items() if future.done()}

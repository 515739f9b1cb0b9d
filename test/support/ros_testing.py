# SPDX-License-Identifier: Apache-2.0
"""Helpers of tests that talk over DDS. Imported only where rclpy is there."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from waiting import wait_for


@dataclass(frozen=True, slots=True)
class RosDomain:
    """The ROS domain of one test; the default rclpy context is initialised in it."""

    id: int
    context: rclpy.Context


@contextlib.contextmanager
def spinning(*nodes: Any) -> Iterator[None]:
    """Spins the nodes in a background thread while the block runs, then destroys them."""
    executor = SingleThreadedExecutor()
    for node in nodes:
        executor.add_node(node)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        executor.shutdown()
        thread.join(5.0)
        for node in nodes:
            node.destroy_node()


def call(node: Any, service_type: Any, name: str, request: Any, timeout: float = 10.0) -> Any:
    """Calls a service of another process and returns its answer; `node` must be spinning."""
    client = node.create_client(service_type, name)
    try:
        wait_for(client.service_is_ready, timeout, f"service {name} appears")
        future = client.call_async(request)
        wait_for(future.done, timeout, f"service {name} answers")
        return future.result()
    finally:
        node.destroy_client(client)

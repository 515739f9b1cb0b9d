# SPDX-License-Identifier: Apache-2.0
"""Helpers for tests that use DDS. Import it only after the check that rclpy is installed."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from std_srvs.srv import Trigger
from waiting import wait_for


@dataclass(frozen=True, slots=True)
class RosDomain:
    """The ROS domain of one test. The default rclpy context is initialised in it."""

    id: int
    context: rclpy.Context


@contextlib.contextmanager
def spinning(*nodes: Any, destroy: bool = True) -> Iterator[None]:
    """Spin the nodes in a background thread while the block runs, then destroy them."""
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
        for node in nodes if destroy else ():
            node.destroy_node()


def call(node: Any, service_type: Any, name: str, request: Any, timeout: float = 10.0) -> Any:
    """Call a service of another process and return its first answer. `node` must be spinning.

    A client can discover a server before the server has discovered the client; a request sent then is lost.
    So the request is repeated after 10 s, or after half of a shorter timeout [s]. Servers answer in order, so
    the first answer belongs to the first request that arrived.
    """
    client = node.create_client(service_type, name)
    futures = []

    def answered() -> bool:
        if time.monotonic() - begun >= len(futures) * min(timeout / 2, 10.0):
            futures.append(client.call_async(request))
        return any(future.done() for future in futures)

    try:
        wait_for(client.service_is_ready, timeout, f"service {name} appears")
        begun = time.monotonic()
        wait_for(answered, timeout, f"service {name} answers")
        return next(future.result() for future in futures if future.done())
    finally:
        node.destroy_client(client)


def resume(node: Any, within: float = 15.0) -> str:
    """Call /policy/resume until it succeeds; fails after that long [s] with what was answered last."""
    deadline = time.monotonic() + within
    while not (answer := call(node, Trigger, "/policy/resume", Trigger.Request())).success:
        assert time.monotonic() < deadline, f"not resumed within {within:g} s: {answer.message}"
        time.sleep(0.05)
    return answer.message


def now_ns(node: Any) -> int:
    """The present time of a node's clock [ns]."""
    return node.get_clock().now().nanoseconds

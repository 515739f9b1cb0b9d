# SPDX-License-Identifier: Apache-2.0
"""Spins a node beside a program that has a loop of its own."""

import contextlib
import threading
from collections.abc import Iterator

from rclpy.context import Context
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.task import Future

from dit_policy_ros.ros.common import PatientExecutor


@contextlib.contextmanager
def spinning(node: Node, context: Context, threads: int) -> Iterator[None]:
    """Spin the node in threads of its own while the block runs."""
    executor, stop = PatientExecutor(threads, context=context), Future()
    executor.add_node(node)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin_until_future_complete(stop)

    thread = threading.Thread(target=spin, name=node.get_name(), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set_result(None)
        executor.wake()
        thread.join()  # first: an executor that is shut down while it spins gives callbacks to ended threads
        executor.shutdown()

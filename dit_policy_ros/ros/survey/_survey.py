# SPDX-License-Identifier: Apache-2.0
"""A node that only looks: at the graph, at streams, at the robot's description and its controllers."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from dit_policy_ros.ros.common import PatientExecutor

_POLL = 0.02  # [s]
_THREADS = 4


@contextlib.contextmanager
def survey_node(namespace: str = "/", use_sim_time: bool = False) -> Iterator[Node]:
    """Yields a spinning node in this process's ROS domain that publishes nothing. Initialises rclpy."""
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = Node(
            f"dit_policy_survey_{os.getpid()}",
            namespace=namespace.strip("/"),
            use_global_arguments=False,
            parameter_overrides=[Parameter("use_sim_time", value=use_sim_time)],
            enable_rosout=False,
        )
        try:
            with spinning(node):
                yield node
        finally:
            node.destroy_node()
    finally:
        rclpy.try_shutdown()


@contextlib.contextmanager
def spinning(node: Node) -> Iterator[None]:
    """Spins a node in another thread while the block runs."""
    executor, end = PatientExecutor(num_threads=_THREADS), Future()
    executor.add_node(node)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin_until_future_complete(end)

    thread = threading.Thread(target=spin, name=f"{node.get_name()} spins", daemon=True)
    thread.start()
    try:
        yield
    finally:  # an executor that is shut down while it spins submits callbacks to ended threads
        end.set_result(None)
        thread.join()
        executor.shutdown()


def wait_until(condition: Callable[[], Any], timeout: float) -> bool:
    """Wait until a condition holds (True), or ``timeout`` [s] has passed (False)."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def topics_of(node: Node, kind: str) -> list[str]:
    """Topics of a message type such as "sensor_msgs/msg/Image" that somebody publishes, in order."""
    found = (name for name, kinds in node.get_topic_names_and_types() if kind in kinds)
    return sorted(name for name in found if node.count_publishers(name))

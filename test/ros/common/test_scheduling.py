# SPDX-License-Identifier: Apache-2.0
"""The executor keeps running whatever its node does, and unwatched messages wait until they are taken."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import rclpy
from control_msgs.action import ParallelGripperCommand
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future
from ros_testing import spinning
from std_msgs.msg import Int32
from waiting import wait_for

from dit_policy_ros.ros.common import lower_thread_priority
from dit_policy_ros.ros.common._scheduling import PatientExecutor, UnwatchedGroup, take_messages


@pytest.fixture
def frequent_thread_switches() -> Iterator[None]:
    """Threads interrupt one another as often as possible, so that races show."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@contextmanager
def running(node: Node, failures: list[BaseException]) -> Iterator[threading.Thread]:
    """A thread that runs the node's callbacks, ended as ``run_node`` ends it; yields that thread.

    An executor that is shut down while it spins may submit a callback to threads that have ended.
    """
    executor, stop_spinning = PatientExecutor(num_threads=2), Future()
    executor.add_node(node)

    def spin() -> None:
        try:
            executor.spin_until_future_complete(stop_spinning)
        except BaseException as error:  # noqa: BLE001 - the test checks what ended the executor
            failures.append(error)

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        stop_spinning.set_result(None)
        thread.join(10.0)
        executor.shutdown()
        node.destroy_node()
    assert not thread.is_alive()


@pytest.mark.parametrize("kind", [RuntimeError, AttributeError])  # the executor tries again after the latter
def test_an_exception_in_a_callback_ends_spin(ros_domain, kind: type[Exception]) -> None:
    def broken() -> None:
        raise kind("broken callback")

    node = rclpy.create_node("broken")
    node.create_timer(0.001, broken)
    failures: list[BaseException] = []
    with running(node, failures) as thread:
        thread.join(10.0)
    assert [str(failure) for failure in failures] == ["broken callback"]


def test_the_executor_survives_subscriptions_destroyed_while_it_builds_its_wait_set(
    ros_domain, frequent_thread_switches
) -> None:
    node = rclpy.create_node("restless")
    ticks: list[int] = []
    node.create_timer(0.001, lambda: ticks.append(0))
    failures: list[BaseException] = []
    with running(node, failures):
        for number in range(400):
            subscriptions = [
                node.create_subscription(Int32, f"topic_{number}_{i}", lambda _: None, QoSProfile(depth=1))
                for i in range(3)
            ]
            for subscription in subscriptions:
                node.destroy_subscription(subscription)
        ticks_before = len(ticks)
        wait_for(lambda: failures or len(ticks) > ticks_before + 10, 10.0, "the timer keeps running")
    assert not failures


def test_the_executor_survives_action_clients_made_and_destroyed_while_it_builds_its_wait_set(
    ros_domain, frequent_thread_switches
) -> None:
    """As those of grippers are, when the policy node is configured and cleaned up."""
    node = rclpy.create_node("restless")
    ticks: list[int] = []
    node.create_timer(0.0005, lambda: ticks.append(0))
    failures: list[BaseException] = []
    with running(node, failures):
        for number in range(100):
            client = ActionClient(node, ParallelGripperCommand, f"gripper_{number}")
            seen = len(ticks)
            wait_for(lambda seen=seen: failures or len(ticks) > seen, 10.0, "the executor has it")
            client.destroy()
        ticks_before = len(ticks)
        wait_for(lambda: failures or len(ticks) > ticks_before + 10, 10.0, "the timer keeps running")
    assert not failures


def test_unwatched_messages_wait_in_order_and_call_no_callback(ros_domain) -> None:
    called: list[int] = []
    sender, receiver = rclpy.create_node("sender"), rclpy.create_node("receiver")
    publisher = sender.create_publisher(Int32, "numbers", QoSProfile(depth=10))
    unwatched = receiver.create_subscription(
        Int32, "numbers", called.append, QoSProfile(depth=10), callback_group=UnwatchedGroup()
    )
    watched: list[int] = []
    receiver.create_subscription(
        Int32, "numbers", lambda message: watched.append(message.data), QoSProfile(depth=10)
    )
    with spinning(sender, receiver):
        wait_for(lambda: publisher.get_subscription_count() == 2, 10.0, "both subscriptions")
        for number in range(5):
            publisher.publish(Int32(data=number))
        wait_for(lambda: watched == [0, 1, 2, 3, 4], 10.0, "the watched subscription received all")
        assert [message.data for message in take_messages(unwatched)] == [0, 1, 2, 3, 4]
        assert list(take_messages(unwatched)) == [] and called == []
        receiver.destroy_subscription(unwatched)
        assert list(take_messages(unwatched)) == [], "a destroyed subscription yields nothing"


def test_only_the_calling_thread_gets_a_lower_priority() -> None:
    found: dict[str, int] = {}

    def run_at_lower_priority() -> None:
        lower_thread_priority()
        found["thread"] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=run_at_lower_priority)
    thread.start()
    thread.join(10.0)
    assert found["thread"] > before or before == 19
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before

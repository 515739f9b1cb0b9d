# SPDX-License-Identifier: Apache-2.0
"""The executor of all nodes goes on whatever its node does meanwhile."""

import sys
import threading
from collections.abc import Iterator

import pytest
import rclpy
from rclpy.qos import QoSProfile
from std_msgs.msg import Int32
from waiting import wait_for

from dit_policy_ros.ros.common._executor import PatientExecutor


@pytest.fixture
def short_turns() -> Iterator[None]:
    """Threads get in each other's way as often as they can."""
    turn = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(turn)


def spinning_thread(executor: PatientExecutor, failures: list[BaseException]) -> threading.Thread:
    def spin() -> None:
        try:
            executor.spin()
        except BaseException as error:  # noqa: BLE001 - whatever ended it is the finding
            failures.append(error)

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    return thread


def test_a_callback_that_raises_still_ends_it(ros_domain) -> None:
    def broken() -> None:
        raise RuntimeError("broken callback")

    node, executor = rclpy.create_node("broken"), PatientExecutor(num_threads=2)
    executor.add_node(node)
    node.create_timer(0.001, broken)
    failures: list[BaseException] = []
    spinning_thread(executor, failures).join(10.0)
    executor.shutdown()
    node.destroy_node()
    assert [str(failure) for failure in failures] == ["broken callback"]


def test_it_survives_that_subscriptions_are_destroyed_while_it_looks_for_work(
    ros_domain, short_turns
) -> None:
    node = rclpy.create_node("restless")
    executor = PatientExecutor(num_threads=2)
    executor.add_node(node)
    ticks: list[int] = []
    node.create_timer(0.001, lambda: ticks.append(0))
    failures: list[BaseException] = []
    thread = spinning_thread(executor, failures)
    try:
        for number in range(400):
            made = [
                node.create_subscription(Int32, f"topic_{number}_{i}", lambda _: None, QoSProfile(depth=1))
                for i in range(3)
            ]
            for each in made:
                node.destroy_subscription(each)
        seen = len(ticks)
        wait_for(lambda: failures or len(ticks) > seen + 10, 10.0, "the timer goes on")
    finally:
        executor.shutdown()
        thread.join(10.0)
        node.destroy_node()
    assert not failures

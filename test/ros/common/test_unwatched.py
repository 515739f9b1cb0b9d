# SPDX-License-Identifier: Apache-2.0
"""Messages that wait until somebody wants them."""

import os
import threading

import rclpy
from rclpy.qos import QoSProfile
from ros_testing import spinning
from std_msgs.msg import Int32
from waiting import wait_for

from dit_policy_ros.ros.common import lower_thread_priority
from dit_policy_ros.ros.common._unwatched import UnwatchedGroup, waiting_messages


def test_messages_wait_in_order_and_wake_nobody(ros_domain) -> None:
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
        wait_for(lambda: watched == [0, 1, 2, 3, 4], 10.0, "the executor handed over what it watches")
        assert [message.data for message in waiting_messages(unwatched)] == [0, 1, 2, 3, 4]
        assert list(waiting_messages(unwatched)) == [] and called == []
        receiver.destroy_subscription(unwatched)
        assert list(waiting_messages(unwatched)) == [], "nothing of a destroyed one"


def test_only_the_thread_that_lets_others_go_first_gets_a_lower_priority() -> None:
    found: dict[str, int] = {}

    def yielding() -> None:
        lower_thread_priority()
        found["thread"] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=yielding)
    thread.start()
    thread.join(10.0)
    assert found["thread"] > before or before == 19
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before

# SPDX-License-Identifier: Apache-2.0
"""The control thread: ticks by the steady clock, takes messages as they come, does not fail in silence."""

import os
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from ros_testing import spinning
from std_msgs.msg import Int32
from waiting import wait_for

from dit_policy_ros.ros.common import UnwatchedGroup
from dit_policy_ros.ros.policy._control_loop import ControlLoop, Pace, Source

RATE = 100.0  # [Hz]


@pytest.fixture
def made(ros_domain) -> Any:
    """A node with an unwatched subscription, a publisher to it, and a function that makes the loop."""
    node = rclpy.create_node("made")
    subscription = node.create_subscription(
        Int32, "numbers", lambda _: None, QoSProfile(depth=10), callback_group=UnwatchedGroup()
    )
    publisher = node.create_publisher(Int32, "numbers", QoSProfile(depth=10))
    wait_for(lambda: publisher.get_subscription_count() == 1, 10.0, "publisher and subscription match")
    loops: list[ControlLoop] = []

    def make(
        tick: Callable[[], None], take: Callable[[Any], None] = lambda _: None, **pace: Any
    ) -> ControlLoop:
        loops.append(ControlLoop(node, Pace(**{"rate": RATE} | pace), tick, Source(subscription, take)))
        return loops[-1]

    yield SimpleNamespace(node=node, make=make, publish=lambda n: publisher.publish(Int32(data=n)))
    for loop in loops:
        loop.join()
    node.destroy_node()


def test_it_ticks_and_takes_messages_in_one_thread_until_it_is_stopped(made) -> None:
    ticks: list[int] = []
    taken: list[tuple[int, int]] = []
    loop = made.make(
        lambda: ticks.append(threading.get_ident()), lambda m: taken.append((m.data, threading.get_ident()))
    )
    assert not loop.is_running
    made.publish(1)
    loop.start()
    wait_for(lambda: len(ticks) > 3, 10.0, "it ticks")
    for number in (2, 3, 4):
        made.publish(number)
    wait_for(lambda: len(taken) == 4, 10.0, "the messages arrive")
    assert [number for number, _ in taken] == [1, 2, 3, 4]
    assert {*ticks, *(thread for _, thread in taken)} == {ticks[0]} != {threading.get_ident()}
    loop.request_stop()
    loop.join()
    count = len(ticks)
    made.publish(5)
    assert not loop.is_running and len(ticks) == count and len(taken) == 4
    loop.start()
    wait_for(lambda: len(ticks) > count and len(taken) == 5, 10.0, "it can start again")


def test_a_message_is_taken_long_before_the_next_tick(made) -> None:
    taken: list[int] = []
    loop = made.make(lambda: None, lambda m: taken.append(m.data), rate=0.01)
    loop.start()
    made.publish(7)
    wait_for(lambda: taken == [7], 10.0, "the message does not wait 100 s for a tick")
    loop.request_stop()
    made.publish(8)  # wakes the thread
    loop.join()
    assert taken == [7]


def test_a_flood_of_messages_keeps_no_tick_waiting(made) -> None:
    ticks: list[float] = []
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            made.publish(0)

    loop = made.make(lambda: ticks.append(time.monotonic()), lambda _: time.sleep(0.001))
    thread = threading.Thread(target=flood)
    thread.start()
    loop.start()
    try:
        wait_for(lambda: len(ticks) > 20, 20.0, "it ticks meanwhile")
    finally:
        stop.set()
        thread.join(10.0)


def test_ticks_that_were_missed_are_not_made_up_for(made) -> None:
    begins: list[float] = []

    def tick() -> None:
        begins.append(time.monotonic())
        if len(begins) == 3:
            time.sleep(10 / RATE)

    loop = made.make(tick)
    loop.start()
    wait_for(lambda: len(begins) >= 8, 10.0, "it ticks on")
    loop.join()
    elapsed = begins[-1] - begins[0]
    assert len(begins) <= elapsed * RATE + 2, "never more than the rate, also after a slow tick"


def test_what_a_tick_raises_is_raised_in_the_nodes_executor(made) -> None:
    def broken() -> None:
        raise KeyError("a bug in the tick")

    loop = made.make(broken)
    loop.start()
    executor = SingleThreadedExecutor()
    executor.add_node(made.node)
    with pytest.raises(KeyError, match="a bug in the tick"):
        for _ in range(100):
            executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    wait_for(lambda: not loop.is_running, 10.0, "the thread has ended")


def test_an_end_of_the_context_ends_the_thread(made) -> None:
    ticks: list[int] = []
    loop = made.make(lambda: ticks.append(1))
    loop.start()
    with spinning(made.node):
        wait_for(lambda: len(ticks) > 2, 10.0, "it ticks")
    rclpy.shutdown()
    wait_for(lambda: not loop.is_running or not loop.join(), 10.0, "it can be stopped")


def test_the_thread_has_the_real_time_priority_and_threads_that_it_starts_have_not(made, monkeypatch) -> None:
    found: list[tuple[str, Any]] = []

    def note(who: str) -> None:
        found.append((who, os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK))

    def tick() -> None:
        if not found:
            note("control")
            thread = threading.Thread(target=note, args=("its thread",))
            thread.start()
            thread.join()

    def refused(*_: Any) -> None:
        raise PermissionError

    priority = 7
    try:  # whether this process may at all
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
        expected = os.SCHED_FIFO
    except PermissionError:
        expected = os.SCHED_OTHER
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    loop = made.make(tick, priority=priority)
    loop.start()
    wait_for(lambda: len(found) == 2, 10.0, "it ticks")
    assert found == [("control", expected), ("its thread", os.SCHED_OTHER)]
    loop.join()
    found.clear()
    monkeypatch.setattr(os, "sched_setscheduler", refused)
    loop.start()
    wait_for(lambda: len(found) == 2, 10.0, "it ticks without the right to the priority, too")
    assert found[0] == ("control", os.SCHED_OTHER)

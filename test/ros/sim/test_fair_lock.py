# SPDX-License-Identifier: Apache-2.0
"""A thread that takes the lock over and over keeps nobody waiting."""

import threading

import pytest
from waiting import wait_for

pytest.importorskip("rclpy", reason="rclpy is not installed")
from dit_policy_ros.ros.sim._fair_lock import FairLock


def test_who_has_waited_gets_the_lock_before_its_last_owner():
    lock, order = FairLock(), []

    def visit(name: str) -> None:
        with lock:
            order.append(name)

    visitors = [threading.Thread(target=visit, args=(name,)) for name in ("first", "second")]
    with lock:
        for number, visitor in enumerate(visitors, 1):
            visitor.start()
            wait_for(lambda count=number: lock.waiting == count, 10.0, "it waits")
    with lock:  # at once
        order.append("owner")
    assert order == ["first", "second", "owner"]
    assert lock.waiting == 0


def test_one_thread_at_a_time_has_it_and_an_error_releases_it():
    lock, inside, most, errors = FairLock(), [], [], []

    def work() -> None:
        for number in range(200):
            try:
                with lock:
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
                    if number % 10 == 0:
                        raise ArithmeticError
            except ArithmeticError:
                errors.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
        assert not thread.is_alive()
    assert max(most) == 1 and len(most) == 800 and len(errors) == 80

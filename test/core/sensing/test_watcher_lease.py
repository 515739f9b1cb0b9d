# SPDX-License-Identifier: Apache-2.0
"""Somebody who watches and becomes silent is a fault, whoever else speaks."""

import pytest

from dit_policy_ros.core.sensing import LEFT, WatcherLease

SECOND = 1_000_000_000


class Clock:
    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lease(clock) -> WatcherLease:
    made = WatcherLease(clock)
    made.begin(1.0)
    return made


def test_nobody_watches_and_nothing_is_wrong(lease, clock) -> None:
    clock.now_ns = 3600 * SECOND
    assert lease.fault() == ""


def test_silence_is_a_fault_that_names_him_and_lasts(lease, clock) -> None:
    lease.hear("the panel on desk", "")
    clock.now_ns = SECOND
    assert lease.fault() == ""
    clock.now_ns += 1
    assert "the panel on desk for 1.0 s" in lease.fault()
    clock.now_ns += 60 * SECOND
    lease.hear("another one", "")
    assert "the panel on desk for 61.0 s" in lease.fault() and "another" not in lease.fault()


def test_who_speaks_again_or_leaves_is_no_fault(lease, clock) -> None:
    lease.hear("a", "")
    lease.hear("b", "")
    clock.now_ns = 2 * SECOND
    lease.hear("a", "")
    lease.hear("b", LEFT)
    assert lease.fault() == ""
    clock.now_ns += 2 * SECOND
    assert "a for" in lease.fault() and "b for" not in lease.fault()


def test_an_operator_goes_on_without_who_is_lost_but_not_without_who_speaks(lease, clock) -> None:
    lease.hear("lost", "")
    clock.now_ns = 2 * SECOND
    lease.hear("here", "")
    lease.forget_lost()
    assert lease.fault() == ""
    clock.now_ns += 2 * SECOND
    assert "here for" in lease.fault() and "lost" not in lease.fault()
    lease.begin(5.0)
    assert lease.fault() == "", "an activation is an operator's, too"


def test_names_without_end_do_not_fill_the_memory_and_drop_nobody(lease, clock) -> None:
    lease.hear("first", "")
    for number in range(1000):
        lease.hear(f"panel {number}", "")
    clock.now_ns = 2 * SECOND
    assert "first" in lease.fault() and len(lease.fault()) < 1000
    lease.forget_lost()
    lease.hear("", "")
    clock.now_ns += 2 * SECOND
    assert lease.fault() == ""

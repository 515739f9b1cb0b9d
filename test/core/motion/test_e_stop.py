# SPDX-License-Identifier: Apache-2.0
"""The e-stop is a level: it stays latched until it is cleared, and it brakes each time it is latched."""

import threading

from dit_policy_ros.core.motion import EStop


def test_the_latch_is_open_at_first_and_stays_closed_until_it_is_cleared() -> None:
    e_stop = EStop()
    assert not e_stop.latched
    e_stop.latch()
    e_stop.latch()
    assert e_stop.latched
    e_stop.clear()
    assert not e_stop.latched


def test_latching_brakes_before_it_returns_and_clearing_moves_nothing() -> None:
    e_stop, brakes = EStop(), []
    e_stop.connect(lambda: brakes.append(e_stop.latched))
    e_stop.latch()
    assert brakes == [True], "whoever brakes finds the latch closed"
    e_stop.clear()
    assert brakes == [True]
    e_stop.latch()
    assert brakes == [True, True]


def test_nothing_is_latched_while_another_thread_decides_about_motion() -> None:
    e_stop, order = EStop(), []
    e_stop.connect(lambda: order.append("brake"))
    with e_stop.lock:
        thread = threading.Thread(target=e_stop.latch)
        thread.start()
        thread.join(0.05)
        assert thread.is_alive() and not e_stop.latched
        order.append("motion")
    thread.join(10.0)
    assert order == ["motion", "brake"] and e_stop.latched

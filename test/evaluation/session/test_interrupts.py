# SPDX-License-Identifier: Apache-2.0
"""Signals do not cut a turn of an executor in two."""

import signal
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from dit_policy_ros.evaluation.session import Session, held_interrupts


class Terminated(KeyboardInterrupt):
    """As the demo answers SIGTERM."""


def terminate(number: int, frame: Any) -> None:
    raise Terminated


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, terminate)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_a_turn_is_finished_before_the_signal_counts(number: int, raised: type[BaseException]) -> None:
    turns: list[str] = []

    def spin_once(timeout_sec: float) -> None:
        signal.raise_signal(number)
        turns.append("finished")

    session = Session(node=None, executor=SimpleNamespace(spin_once=spin_once), children=())
    with pytest.raises(raised):
        session.wait(lambda: False, timeout=10.0)
    assert turns == ["finished"]


def test_handlers_are_back_afterwards_and_quiet_blocks_raise_nothing() -> None:
    with held_interrupts():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is terminate


def test_an_error_gives_way_to_the_interrupt_and_stands_without_one() -> None:
    with pytest.raises(KeyboardInterrupt), held_interrupts():
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("broken off")
    with pytest.raises(RuntimeError, match="broken off"), held_interrupts():
        raise RuntimeError("broken off")


def test_no_handler_is_lost_when_a_signal_comes_while_they_are_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = signal.signal

    def put_and_interrupt(number: int, handler: Any) -> Any:
        before = put(number, handler)
        if handler is signal.default_int_handler:
            monkeypatch.setattr(signal, "signal", put)
            signal.raise_signal(signal.SIGINT)  # SIGTERM's own handler is not back yet
        return before

    with pytest.raises(KeyboardInterrupt), held_interrupts():
        monkeypatch.setattr(signal, "signal", put_and_interrupt)
    with pytest.raises(Terminated):
        signal.raise_signal(signal.SIGTERM)


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with held_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_are_left_alone() -> None:
    seen: list[Any] = []

    def look() -> None:
        with held_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(10.0)
    assert seen == [signal.default_int_handler]

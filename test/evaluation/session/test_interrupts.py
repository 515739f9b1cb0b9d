# SPDX-License-Identifier: Apache-2.0
"""Signals do not interrupt an executor in the middle of a spin."""

import signal
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from dit_policy_ros.evaluation.session import Session, deferred_interrupts


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM, as in the demo."""


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
def test_a_spin_is_finished_before_the_signal_takes_effect(number: int, raised: type[BaseException]) -> None:
    spins: list[str] = []

    def spin_once(timeout_sec: float) -> None:
        signal.raise_signal(number)
        spins.append("finished")

    session = Session(node=None, executor=SimpleNamespace(spin_once=spin_once), children=())
    with pytest.raises(raised):
        session.spin_until(lambda: False, timeout=10.0)
    assert spins == ["finished"]


def test_without_a_signal_the_handlers_are_restored_and_nothing_is_raised() -> None:
    with deferred_interrupts():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is terminate


def test_an_interrupt_replaces_an_error_of_the_block() -> None:
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("broken off")
    with pytest.raises(RuntimeError, match="broken off"), deferred_interrupts():
        raise RuntimeError("broken off")


def test_no_handler_is_lost_when_a_signal_arrives_while_they_are_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_handler = signal.signal

    def restore_and_interrupt(number: int, handler: Any) -> Any:
        before = set_handler(number, handler)
        if handler is signal.default_int_handler:
            monkeypatch.setattr(signal, "signal", set_handler)
            signal.raise_signal(signal.SIGINT)  # SIGTERM's own handler is not restored yet
        return before

    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        monkeypatch.setattr(signal, "signal", restore_and_interrupt)
    with pytest.raises(Terminated):
        signal.raise_signal(signal.SIGTERM)


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with deferred_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_do_nothing() -> None:
    seen: list[Any] = []

    def read_handler() -> None:
        with deferred_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=read_handler)
    thread.start()
    thread.join(10.0)
    assert seen == [signal.default_int_handler]

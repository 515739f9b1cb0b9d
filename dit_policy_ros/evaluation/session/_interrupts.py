# SPDX-License-Identifier: Apache-2.0
"""Delays Ctrl-C and SIGTERM until code that cannot be interrupted has finished."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def deferred_interrupts() -> Iterator[None]:
    """SIGINT and SIGTERM that arrive during the block take effect when it ends.

    Use it around one spin of an executor: an exception raised by a signal handler while rclpy's compiled code
    calls Python turns into a RuntimeError ("Unable to convert call argument"), and the program would treat
    the interrupt as a fault. Python delivers signals to the main thread only; in other threads this does
    nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    originals: dict[int, Any] = {number: handler for number, handler in before.items() if handler is not None}
    received: list[int] = []
    is_deferring = True

    def defer(number: int, _: object) -> None:
        if is_deferring:
            received.append(number)
        else:  # another signal interrupted the loop below before it restored this signal's handler
            signal.signal(number, originals[number])
            signal.raise_signal(number)

    for number in originals:
        signal.signal(number, defer)
    try:
        yield
    finally:
        is_deferring = False
        for number, handler in originals.items():
            signal.signal(number, handler)
        for number in received:
            signal.raise_signal(number)

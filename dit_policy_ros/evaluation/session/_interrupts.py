# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM at moments that can take them."""

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def held_interrupts() -> Iterator[None]:
    """SIGINT and SIGTERM that come while the block runs take effect at its end.

    For a turn of an executor: what a handler raises while rclpy's compiled code calls Python comes out as a
    RuntimeError ("Unable to convert call argument"), and the way out would be that of a fault. Only the main
    thread gets signals; in others this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    held = {number: handler for number, handler in before.items() if handler is not None}
    came: list[int] = []
    is_holding = True

    def answer(number: int, _: object) -> None:
        if is_holding:
            came.append(number)
        else:  # another one broke off putting this one's handler back
            signal.signal(number, held[number])
            signal.raise_signal(number)

    for number in held:
        signal.signal(number, answer)
    try:
        yield
    finally:
        is_holding = False
        for number, handler in held.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)

# SPDX-License-Identifier: Apache-2.0
"""Waits for a condition instead of sleeping for a fixed time."""

import threading
import time
from collections.abc import Callable


def wait_for[T](
    condition: Callable[[], T], timeout: float, message: str | Callable[[], str], interval: float = 0.01
) -> T:
    """Polls until `condition()` is truthy and returns its value; fails the test after `timeout` [s].

    message: what is awaited; a function says what there is instead, at that time.
    """
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {message() if callable(message) else message}")
        pause.wait(interval)
    return value

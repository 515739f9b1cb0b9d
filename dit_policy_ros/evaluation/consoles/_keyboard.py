# SPDX-License-Identifier: Apache-2.0
"""Reads single keys from the terminal."""

import codecs
import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PERIOD = 0.1  # [s] that a call waits for a key


@contextmanager
def single_keys() -> Iterator[Callable[[], str]]:
    """Yields a function that returns the pressed key, or "" after a moment without one."""
    stream = sys.stdin.fileno()
    before = termios.tcgetattr(stream)
    tty.setcbreak(stream)
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode

    def read_key() -> str:
        ready, _, _ = select.select([stream], [], [], _PERIOD)
        return decode(os.read(stream, 1)) if ready else ""  # not from sys.stdin, which reads ahead

    try:
        yield read_key
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)

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

from rich.console import Console

_PERIOD = 0.1  # [s] that a call waits for a key
_ESCAPE, _BACKSPACE = "\x1b", "\x7f"


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


def read_line(read_key: Callable[[], str], console: Console) -> str:
    """Reads a line key by key and shows it; backspace works, escape gives an empty line."""
    text = ""
    while (key := read_key()) != "\n":
        if key == _ESCAPE:
            return ""
        text = text[:-1] if key == _BACKSPACE else text + key
        if key:
            console.print(f"\r{text} ", end="")
    return text

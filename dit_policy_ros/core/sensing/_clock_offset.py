# SPDX-License-Identifier: Apache-2.0
"""Estimates how far another computer's clock is behind ours, from the delays of its messages."""

from collections import deque
from statistics import median

_BLOCK_NS = 100_000_000
_BLOCKS = 9


class ClockOffset:
    """The delay from stamp to arrival that the quickest messages have: the clocks' difference, and transport.

    Transport and waiting only ever add to a delay, so the smallest delay within a tenth of a second is the
    best estimate. One wrong stamp would spoil a plain minimum, so this is the median of the minima of the
    last tenths: wrong stamps in half of them are needed to move it. Not thread-safe.
    """

    def __init__(self) -> None:
        self._minima: deque[int] = deque(maxlen=_BLOCKS)  # [ns] per tenth of a second, newest last
        self._block_start_ns = 0

    def add(self, stamp_ns: int, now_ns: int) -> None:
        """Add a message with the stamp `stamp_ns` that arrived at `now_ns`, by our clock [ns]."""
        if now_ns < self._block_start_ns:  # our clock was set back
            self._minima.clear()
        delay_ns = now_ns - stamp_ns
        if not self._minima or now_ns - self._block_start_ns >= _BLOCK_NS:
            self._minima.append(delay_ns)
            self._block_start_ns = now_ns
        else:
            self._minima[-1] = min(self._minima[-1], delay_ns)

    @property
    def seconds(self) -> float | None:
        """How far the sender's clock is behind ours [s], negative: ahead; None before the first message."""
        return median(self._minima) * 1e-9 if self._minima else None

    def clear(self) -> None:
        """Forget all messages."""
        self._minima.clear()

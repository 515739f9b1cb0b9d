# SPDX-License-Identifier: Apache-2.0
"""Estimates how far another computer's clock is behind ours, from messages that go there and back."""

from collections import deque

_RECENT_NS = 5_000_000_000
_MOST = 200


class RoundTrips:
    """Recent round trips. The quickest says most about the clocks: the rest waited somewhere.

    Not thread-safe.
    """

    def __init__(self) -> None:
        self._trips: deque[tuple[int, int, int]] = deque(maxlen=_MOST)  # (arrival, duration, offset) [ns]

    def add(self, sent_ns: int, received_ns: int, answered_ns: int, arrived_ns: int) -> None:
        """Add a round trip.

        Args:
            sent_ns: when our message was sent, by our clock [ns].
            received_ns: when it was received, by the other clock [ns].
            answered_ns: when the answer was sent, by the other clock [ns].
            arrived_ns: when the answer arrived, by our clock [ns].
        """
        if self._trips and arrived_ns < self._trips[-1][0]:  # our clock was set back
            self._trips.clear()
        duration_ns = (arrived_ns - sent_ns) - (answered_ns - received_ns)
        if duration_ns < 0:  # a clock was set in between
            return
        offset_ns = ((sent_ns - received_ns) + (arrived_ns - answered_ns)) // 2
        self._trips.append((arrived_ns, duration_ns, offset_ns))

    def clear(self) -> None:
        """Forget all round trips."""
        self._trips.clear()

    @property
    def seconds(self) -> float | None:
        """Duration of the quickest recent round trip [s], without the other side's time; None if unknown."""
        best = self._best()
        return None if best is None else best[1] * 1e-9

    @property
    def offset(self) -> float | None:
        """How far the other clock is behind ours [s], negative: ahead; None if unknown."""
        best = self._best()
        return None if best is None else best[2] * 1e-9

    @property
    def smallest_offset(self) -> float | None:
        """The offset nearest to zero that the round trips allow [s]: the ways may differ in length."""
        best = self._best()
        if best is None:
            return None
        certain = max(0.0, abs(best[2]) - best[1] / 2) * 1e-9
        return certain if best[2] >= 0 else -certain

    def _best(self) -> tuple[int, int, int] | None:
        trips = tuple(self._trips)
        if not trips:
            return None
        newest = trips[-1][0]
        return min((trip for trip in trips if newest - trip[0] <= _RECENT_NS), key=lambda trip: trip[1])

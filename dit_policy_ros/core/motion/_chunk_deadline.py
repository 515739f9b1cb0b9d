# SPDX-License-Identifier: Apache-2.0
"""When the policy's next chunk is due, and since when it is missing."""

from dit_policy_ros.core.contract import NANOSECONDS

_STANDING = 2.0  # [s] after so long without a chunk, arms that have stopped for it are told that none comes


class ChunkDeadline:
    """Tells a policy that no longer answers from one that has nothing to do.

    A chunk is awaited from activation, from the end of a HOLD and from each usable chunk on. The wait is
    measured by two clocks, and the shorter one counts: a simulation that is slow or paused sends no
    images, and that is no fault of the policy. A step of the node's clock does not look like a wait, either.

    Once a chunk is missed, it stays missed until a usable one comes, also while the arms hold. It is called
    overdue soon then, however long the timeout is: that may come from a latency measured on a busy computer.

    Attributes:
        timeout: a chunk that takes longer is missed [s].
    """

    def __init__(self, timeout: float) -> None:
        """timeout: see the class."""
        self.timeout = timeout
        self._missed_since: tuple[int, int] | None = None  # by both clocks; None: none is missed
        self._since_ns = self._steady_since_ns = 0  # the wait's beginning, by the node's and a steady clock
        self._busy_since_ns: int | None = None  # steady clock; None while no inference runs
        self._late_chunks = 0  # in this wait

    @property
    def missed(self) -> bool:
        """Whether the arms stopped for want of a chunk, and none has come since."""
        return self._missed_since is not None

    def miss(self, now_ns: int, steady_ns: int) -> None:
        """The arms stop for want of a chunk."""
        self._missed_since = self._missed_since or (now_ns, steady_ns)

    def restart(self, now_ns: int, steady_ns: int) -> None:
        """Await a chunk from now on: motion begins, or a usable chunk has come."""
        self._missed_since, self._late_chunks = None, 0
        self._since_ns, self._steady_since_ns = now_ns, steady_ns

    def add_late_chunk(self) -> None:
        """Count a chunk that came too late to be used. The wait goes on."""
        self._late_chunks += 1

    def set_busy(self, steady_ns: int | None) -> None:
        """Note that an inference has begun [ns]; None: that it has ended."""
        self._busy_since_ns = steady_ns

    def is_over(self, now_ns: int, steady_ns: int) -> bool:
        """Whether the awaited chunk takes longer than the timeout, or than a moment once the arms stand."""
        waited_ns = min(now_ns - self._since_ns, steady_ns - self._steady_since_ns)
        if waited_ns > self.timeout * NANOSECONDS:
            return True
        missed_ns, steady_missed_ns = self._missed_since or (now_ns, steady_ns)
        return min(now_ns - missed_ns, steady_ns - steady_missed_ns) > _STANDING * NANOSECONDS

    def is_hung(self, steady_ns: int) -> bool:
        """Whether one inference takes longer than the timeout, whoever waits for it."""
        return self._busy(steady_ns) > self.timeout

    def describe(self, steady_ns: int, is_awaited: bool) -> str:
        """The fault in words, with how long it has lasted and what it looks like.

        Args:
            steady_ns: present time of the steady clock [ns].
            is_awaited: whether motion waits for a chunk; otherwise an inference merely hangs.
        """
        busy = self._busy(steady_ns)
        waited = (steady_ns - self._steady_since_ns) / NANOSECONDS if is_awaited else busy  # [s]
        if busy > self.timeout:
            cause = f"an inference has been running for {busy:.1f} s: it hangs, or this computer is too busy"
        elif self._late_chunks:
            cause = (
                f"{self._late_chunks} chunks came too late to be used: inference is too slow, or this "
                "computer is too busy"
            )
        elif busy > _STANDING:
            cause = f"an inference has been running for {busy:.1f} s"
        else:
            cause = "inference is too slow, gets no new observation, or its thread has ended"
        return f"no chunk: none for {waited:.1f} s (chunk_timeout is {self.timeout:.3g} s); {cause}"

    def _busy(self, steady_ns: int) -> float:
        """How long the present inference has been running [s]; 0 if none runs."""
        since_ns = self._busy_since_ns
        return 0.0 if since_ns is None else (steady_ns - since_ns) / NANOSECONDS

# SPDX-License-Identifier: Apache-2.0
"""The state of a stream that another process receives, and the stream as it then looks from here."""

from typing import Any

from dit_policy_ros.core.sensing import StreamBuffer, StreamCounters, StreamSettings
from dit_policy_ros.msg import StreamState
from dit_policy_ros.ros.common import stamp_ns, to_stamp

_COUNTERS = tuple(StreamCounters.__dataclass_fields__)


def stream_state(stream: StreamBuffer, problem: str = "", bytes_per_second: float = 0.0) -> StreamState:
    """The message about a stream."""
    counters, newest = stream.counters, stream.newest_stamp_ns
    message = StreamState(
        name=stream.name,
        received=newest is not None,
        problem=problem,
        bytes_per_second=bytes_per_second,
        refusal=stream.refusal,
        **{name: getattr(counters, name) for name in _COUNTERS},
    )
    if newest is not None:
        message.newest = to_stamp(newest)
    return message


class RemoteStream(StreamBuffer[Any]):
    """A stream of which only the newest stamp and the counters are known.

    Attributes:
        problem: why the stream cannot be used although samples arrive; empty otherwise.
        bytes_per_second: of its messages.
    """

    def __init__(self, settings: StreamSettings) -> None:
        super().__init__(settings)
        self.problem = ""
        self.bytes_per_second = 0.0

    def update(self, state: StreamState) -> None:
        """Take over the state that the other process has sent."""
        with self._lock:
            self._stamps = [stamp_ns(state.newest)] if state.received else []
            self._values = [None] * len(self._stamps)
            self._refusal = state.refusal
            self._counters = StreamCounters(**{name: getattr(state, name) for name in _COUNTERS})
        self.problem, self.bytes_per_second = state.problem, state.bytes_per_second

# SPDX-License-Identifier: Apache-2.0
"""Who drove the arms at any recent time, while a policy runs."""

import threading
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.sensing import LATE_SAMPLE_TIMEOUT

CONTROL = "control"  # name of the stream
CONTROLLERS = ("none", "hold", "policy", "human")  # by the numbers of ControlState.msg
UNKNOWN = "unknown"
_REMEMBERED = 10_000  # changes and signs of life
_SILENT_NS = NANOSECONDS  # a sign of life counts for so long; they come 10 times per second


@dataclass(frozen=True, slots=True)
class Control:
    """Who drives: one of CONTROLLERS or UNKNOWN. policy: hash of the checkpoint's files; empty if none."""

    controller: str
    policy: str = ""
    checkpoint: str = ""

    @property
    def is_human(self) -> bool:
        """Whether a person drives at least one joint."""
        return self.controller == "human"


_NOT_KNOWN = Control(UNKNOWN)


class ControlTrack:
    """What a policy node has said about who drives. Thread-safe.

    topic: of its messages.
    """

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._lock = threading.Lock()
        self._said: deque[tuple[int, int, Control]] = deque(maxlen=_REMEMBERED)  # from, until [ns], who

    def push(self, since_ns: int, stamp_ns: int, control: Control) -> None:
        """Add what was said at ``stamp_ns`` [ns], and is so since ``since_ns`` [ns]."""
        with self._lock:
            if self._said and stamp_ns < self._said[-1][1] - NANOSECONDS:
                self._said.clear()  # the clock was set back
            if self._said and self._said[-1][0] == since_ns:
                self._said.pop()  # a sign of life
            self._said.append((since_ns, stamp_ns, control))

    def at(self, time_ns: int) -> Control:
        """Who drove at a time [ns]; UNKNOWN if nobody says so."""
        with self._lock:
            index = bisect_right(self._said, time_ns, key=lambda entry: entry[0])
            if index == 0:
                return _NOT_KNOWN
            _, said_ns, control = self._said[index - 1]
            is_last = index == len(self._said)
        return _NOT_KNOWN if is_last and time_ns - said_ns > _SILENT_NS else control

    def newest(self) -> Control:
        """Who drives according to the newest message."""
        with self._lock:
            return self._said[-1][2] if self._said else _NOT_KNOWN

    def is_settled(self, time_ns: int, now_ns: int) -> bool:
        """Whether ``at`` is final for a time [ns]: a later message came, or none came for long."""
        with self._lock:
            said_ns = self._said[-1][1] if self._said else 0
        return said_ns >= time_ns or now_ns - time_ns > LATE_SAMPLE_TIMEOUT * NANOSECONDS

    def missing(self, now_ns: int) -> dict[str, str]:
        """Why nobody knows who drives at ``now_ns`` [ns], by the stream's name; empty if it is known."""
        if self.at(now_ns).controller != UNKNOWN:
            return {}
        return {
            CONTROL: f"'{self.topic}': nobody says who drives the arms; is the policy node running, and is "
            "control_topic right?"
        }

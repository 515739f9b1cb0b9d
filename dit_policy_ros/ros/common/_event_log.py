# SPDX-License-Identifier: Apache-2.0
"""Structured log lines that both people and programs can read, with rate limiting.

Format: ``kind: sentence [name=value ...]``, values as JSON. If an event repeats within `period` it is
counted instead of printed, and the next printed line gives the count: a broken sensor at 500 Hz must not
flood the log.
"""

import json
import re
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

_MAX_DISTINCT_EVENTS = 256  # events whose repetitions are tracked
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?([eE][-+]?\d+)?|\bnan\b|\binf\b)")


class Severity(StrEnum):
    """Severity of an event."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class EventLog:
    """Logs events and keeps the newest ones. Thread-safe."""

    def __init__(
        self,
        logger: RcutilsLogger,
        steady_ns: Callable[[], int],
        period: float = 5.0,
        remembered: int = 200,
    ) -> None:
        """Start empty.

        Args:
            logger: the node's logger.
            steady_ns: a monotonic clock [ns].
            period: events that differ only in numbers are printed once per period [s].
            remembered: how many events `recent` returns at most.
        """
        self._logger, self._steady_ns = logger, steady_ns
        self._period_ns = round(period * 1e9)
        self._lock = threading.Lock()
        self._recent: deque[dict[str, Any]] = deque(maxlen=remembered)
        # (kind, sentence) -> [printed at [ns], repeats since then]
        self._printed: OrderedDict[tuple[str, str], list[int]] = OrderedDict()

    def add(self, severity: Severity, kind: str, sentence: str, **values: Any) -> None:
        """Logs an event. values: details for programs, of types that JSON can represent."""
        with self._lock:
            repeated = self._repeated(kind, sentence)
            if repeated is None:
                return
            values |= {"repeated": repeated} if repeated else {}
        self.remember(severity, kind, sentence, **values)
        pairs = " ".join(f"{name}={json.dumps(value)}" for name, value in values.items())
        line = f"{kind}: {sentence}" + (f" [{pairs}]" if pairs else "")
        # One call per severity: rclpy requires that a source line always logs with the same severity.
        if severity is Severity.ERROR:
            self._logger.error(line)
        elif severity is Severity.WARNING:
            self._logger.warning(line)
        else:
            self._logger.info(line)

    def remember(self, severity: Severity, kind: str, sentence: str, **values: Any) -> None:
        """Keeps an event without printing it, because the caller has already logged it."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = {"time": now, "severity": severity.value, "kind": kind, "text": sentence, **values}
        self._recent.append(event)

    def recent(self) -> list[dict[str, Any]]:
        """The newest events, oldest first."""
        return list(self._recent.copy())

    def _repeated(self, kind: str, sentence: str) -> int | None:
        """How many repeats were suppressed before this one, or None to suppress this one too."""
        key, now_ns = (kind, _NUMBER.sub("#", sentence)), self._steady_ns()
        entry = self._printed.get(key)
        if entry is not None and now_ns - entry[0] < self._period_ns:
            entry[1] += 1
            return None
        self._printed[key] = [now_ns, 0]
        self._printed.move_to_end(key)
        if len(self._printed) > _MAX_DISTINCT_EVENTS:
            self._printed.popitem(last=False)
        return 0 if entry is None else entry[1]

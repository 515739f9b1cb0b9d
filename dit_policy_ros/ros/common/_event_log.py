# SPDX-License-Identifier: Apache-2.0
"""What happens to a node, as log lines that a person reads and a program can take apart.

``kind: sentence [name=value ...]``, values as JSON. The same event again within `period` is counted instead
of printed, and the next line says how often: a broken sensor at 500 Hz must not drown what matters.
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

_DIFFERENT_EVENTS = 256  # whose repetition is looked out for
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?([eE][-+]?\d+)?|\bnan\b|\binf\b)")


class Severity(StrEnum):
    """How bad an event is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class EventLog:
    """Prints events and remembers the newest ones. Thread-safe."""

    def __init__(
        self,
        logger: RcutilsLogger,
        steady_ns: Callable[[], int],
        period: float = 5.0,
        remembered: int = 200,
    ) -> None:
        """Begin empty.

        Args:
            steady_ns: a clock that never jumps [ns].
            period: events that differ in numbers only are printed once within this [s].
            remembered: events that `recent` gives back.
        """
        self._logger, self._steady_ns = logger, steady_ns
        self._period_ns = round(period * 1e9)
        self._lock = threading.Lock()
        self._recent: deque[dict[str, Any]] = deque(maxlen=remembered)
        self._printed: OrderedDict[tuple[str, str], list[int]] = OrderedDict()  # -> [when, repeated since]

    def add(self, severity: Severity, kind: str, sentence: str, **values: Any) -> None:
        """One event. values: what a program may want of it; anything that JSON knows."""
        with self._lock:
            repeated = self._repeated(kind, sentence)
            if repeated is None:
                return
            values |= {"repeated": repeated} if repeated else {}
        self.remember(severity, kind, sentence, **values)
        pairs = " ".join(f"{name}={json.dumps(value)}" for name, value in values.items())
        line = f"{kind}: {sentence}" + (f" [{pairs}]" if pairs else "")
        # One call each: rclpy insists that a line of source always logs with one severity.
        if severity is Severity.ERROR:
            self._logger.error(line)
        elif severity is Severity.WARNING:
            self._logger.warning(line)
        else:
            self._logger.info(line)

    def remember(self, severity: Severity, kind: str, sentence: str, **values: Any) -> None:
        """An event that somebody else has printed."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = {"time": now, "severity": severity.value, "kind": kind, "text": sentence, **values}
        self._recent.append(event)

    def recent(self) -> list[dict[str, Any]]:
        """The newest events, oldest first."""
        return list(self._recent.copy())

    def _repeated(self, kind: str, sentence: str) -> int | None:
        """How often this was kept back before it is printed now; None to keep it back."""
        key, now_ns = (kind, _NUMBER.sub("#", sentence)), self._steady_ns()
        entry = self._printed.get(key)
        if entry is not None and now_ns - entry[0] < self._period_ns:
            entry[1] += 1
            return None
        self._printed[key] = [now_ns, 0]
        self._printed.move_to_end(key)
        if len(self._printed) > _DIFFERENT_EVENTS:
            self._printed.popitem(last=False)
        return 0 if entry is None else entry[1]

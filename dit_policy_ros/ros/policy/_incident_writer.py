# SPDX-License-Identifier: Apache-2.0
"""Writes incidents in a thread of its own: nothing that moves the robot waits for a disk."""

import os
import queue
import re
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from dit_policy_ros.core.errors import IncidentError
from dit_policy_ros.core.incidents import Incident, IncidentRing
from dit_policy_ros.data.incident_folder import write_incident

KEPT = 50  # incidents written by themselves; older ones make room. Those that were asked for stay.
MIN_FREE = 1e9  # [bytes] on the disk; below, nothing is written
_AUTOMATIC, _REQUESTED = "incident", "saved"  # how the folders' names begin


def default_directory() -> Path:
    """Where incidents go unless the parameter says otherwise: below ROS's own folder."""
    return Path(os.environ.get("ROS_HOME") or Path.home() / ".ros") / "dit_policy_incidents"


class IncidentWriter:
    """Owns the thread and the folder. `written` and `newest` say what there is so far."""

    def __init__(
        self,
        ring: IncidentRing,
        directory: Path,
        seconds: float,
        facts: Callable[[], dict[str, Any]],
        steady_ns: Callable[[], int],
        logger: RcutilsLogger,
    ) -> None:
        """Start the thread.

        Args:
            directory: gets one folder per incident.
            seconds: what the ring holds [s]; so long after one incident none follows by itself: it would
                hold the same again, and a stream that comes and goes would fill the disk.
            facts: what to note about the node, asked for at the moment of the incident.
            steady_ns: a clock that never jumps [ns].
        """
        self.written = 0
        self.newest: Path | None = None
        self._ring, self._directory, self._facts = ring, directory, facts
        self._pause_ns, self._steady_ns, self._logger = round(seconds * 1e9), steady_ns, logger
        self._last_ns: int | None = None
        self._jobs: queue.Queue[tuple[Path, Incident, dict[str, Any]] | None] = queue.Queue(maxsize=4)
        self._thread = threading.Thread(target=self._work, name="incidents", daemon=True)
        self._thread.start()

    def capture(self, reason: str) -> Path | None:
        """Write what is there because of an event; None where one was written a moment ago."""
        now_ns = self._steady_ns()
        if self._last_ns is not None and now_ns - self._last_ns < self._pause_ns:
            return None
        self._last_ns = now_ns
        return self._begin(_AUTOMATIC, reason)

    def save(self) -> Path:
        """Write what is there because somebody asked; the folder appears when it is complete.

        Raises:
            IncidentError: nothing is kept, or too much waits to be written already.
        """
        if not self._ring.enabled:
            raise IncidentError("nothing is kept: the parameter incident_seconds is 0")
        folder = self._begin(_REQUESTED, "requested")
        if folder is None:
            raise IncidentError("earlier incidents are still being written; try again")
        return folder

    def close(self) -> None:
        """Finish what is being written and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _begin(self, kind: str, reason: str) -> Path | None:
        if not self._ring.enabled:
            return None
        moment = datetime.now(UTC)
        words = re.sub(r"[^A-Za-z0-9]+", "-", reason).strip("-")[:40].lower()
        folder = self._directory / f"{kind}_{moment:%Y%m%d_%H%M%S_%f}_{words}"
        facts = {"reason": reason, "written": moment.isoformat(), **self._facts()}
        try:
            self._jobs.put_nowait((folder, self._ring.snapshot(), facts))
        except queue.Full:
            return None
        return folder

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            folder, incident, facts = job
            try:
                self._require_space()
                write_incident(folder, incident, facts)
                self._forget_old()
            except (IncidentError, OSError) as error:
                self._logger.error(f"an incident could not be kept: {error}")
                continue
            self.newest, self.written = folder, self.written + 1
            self._logger.info(f"incident written; look at it with: dit_policy replay {folder}")

    def _require_space(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._directory).free
        if free < MIN_FREE:
            raise IncidentError(
                f"{self._directory} has {free / 1e6:.0f} MB left, {MIN_FREE / 1e6:.0f} MB are needed; free "
                "some space, or set the parameter incident_directory to another disk"
            )

    def _forget_old(self) -> None:
        automatic = sorted(self._directory.glob(f"{_AUTOMATIC}_*"))  # the names sort by time
        for folder in automatic[: max(0, len(automatic) - KEPT)]:
            shutil.rmtree(folder)

# SPDX-License-Identifier: Apache-2.0
"""Writes incidents to disk in its own thread, so that motion never waits for the disk."""

import contextlib
import queue
import re
import shutil
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from dit_policy_ros.core.errors import IncidentError
from dit_policy_ros.core.incidents import IncidentRing, MotionSegment
from dit_policy_ros.data.incident_folder import write_incident
from dit_policy_ros.ros.inference_link import SavedObservations

MAX_AUTOMATIC = 50  # automatic incidents that are kept; requested ones are never deleted
MIN_FREE = 1e9  # [bytes] with less free space nothing is written
CLOSE_TIMEOUT = 30.0  # [s] for what is queued to be written
_AUTOMATIC, _REQUESTED = "incident", "saved"  # prefixes of the folders' names

Observe = Callable[[Path], Callable[[], SavedObservations]]
"""Asks the inference node to write its observations now into a folder; what it returns waits for them."""


@dataclass(frozen=True, slots=True)
class _Job:
    """An incident that is to be written."""

    folder: Path
    segments: tuple[MotionSegment, ...]
    facts: dict[str, Any]
    observations: Callable[[], SavedObservations]


@dataclass(frozen=True, slots=True)
class IncidentSources:
    """Where the content of an incident comes from, besides the ring.

    Attributes:
        facts: returns what to store about the node; called at the moment of the incident.
        observe: asks for the observations; called at that moment, too.
        steady_ns: reads a clock that never jumps [ns].
    """

    facts: Callable[[], dict[str, Any]]
    observe: Observe
    steady_ns: Callable[[], int]


@dataclass(frozen=True, slots=True)
class IncidentSettings:
    """Where incidents are written, and how often.

    Attributes:
        directory: gets one folder per incident.
        pause: shortest time between two automatic incidents [s]. It equals what the ring covers: a second
            incident would hold the same again, and an intermittent stream would fill the disk.
    """

    directory: Path
    pause: float


class IncidentWriter:
    """Writes the content of the ring to folders.

    Attributes:
        written: incidents written so far.
        newest: folder of the newest one.
    """

    def __init__(
        self,
        ring: IncidentRing,
        settings: IncidentSettings,
        sources: IncidentSources,
        logger: RcutilsLogger,
    ) -> None:
        """Start the thread.

        Args:
            ring: holds the last seconds.
            settings: where and how often to write.
            sources: of what the ring does not hold.
            logger: gets the folders written, and errors.
        """
        self.written = 0
        self.newest: Path | None = None
        self._ring, self._directory, self._sources = ring, settings.directory, sources
        self._pause_ns, self._steady_ns = round(settings.pause * 1e9), sources.steady_ns
        self._logger = logger
        self._last_ns: int | None = None  # of the last automatic incident
        self._jobs: queue.Queue[_Job | None] = queue.Queue(maxsize=4)
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="incidents", daemon=True)
        self._thread.start()

    def capture(self, reason: str, is_latched: bool = False) -> Path | None:
        """Write an automatic incident.

        Args:
            reason: of the HOLD.
            is_latched: whether the HOLD needs an operator. Such incidents are always written: they are rare,
                and somebody will ask for the cause.

        Returns:
            Its folder; None if the last incident was a moment ago, or too many wait to be written.
        """
        now_ns = self._steady_ns()
        if not is_latched and self._last_ns is not None and now_ns - self._last_ns < self._pause_ns:
            return None
        self._last_ns = now_ns
        return self._enqueue(_AUTOMATIC, reason)

    def save(self) -> Path:
        """Write a requested incident. The folder appears when it is complete.

        Raises:
            IncidentError: recording is off, or too many incidents wait to be written.
        """
        if not self._ring.enabled:
            raise IncidentError(
                "nothing is recorded: the parameter incident_seconds is 0. Set it above 0 and configure again"
            )
        folder = self._enqueue(_REQUESTED, "requested")
        if folder is None:
            raise IncidentError(
                "the node is being cleaned up"
                if self._is_closing
                else "earlier incidents are still being written; try again"
            )
        return folder

    def finish(self, timeout: float) -> None:
        """Wait until nothing is queued, at most ``timeout`` [s]."""
        deadline = time.monotonic() + timeout
        with self._jobs.all_tasks_done:
            while self._jobs.unfinished_tasks and (rest := deadline - time.monotonic()) > 0.0:
                self._jobs.all_tasks_done.wait(rest)

    def close(self) -> None:
        """Finish writing and end the thread; wait for it at most CLOSE_TIMEOUT. It may be called again.

        Raises:
            IncidentError: an incident is still being written. It is left to the thread.
        """
        deadline = time.monotonic() + CLOSE_TIMEOUT
        self._is_closing = True
        with contextlib.suppress(queue.Full):
            self._jobs.put(None, timeout=CLOSE_TIMEOUT)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            raise IncidentError(
                f"an incident is still being written to {self._directory} after {CLOSE_TIMEOUT:g} s: does "
                "that disk hang? We wait no longer. Set the parameter incident_directory to another disk"
            )

    def _enqueue(self, prefix: str, reason: str) -> Path | None:
        if not self._ring.enabled or self._is_closing:
            return None
        moment = datetime.now(UTC)
        words = re.sub(r"[^A-Za-z0-9]+", "-", reason).strip("-")[:40].lower()
        folder = self._directory / f"{prefix}_{moment:%Y%m%d_%H%M%S_%f}_{words}"
        facts = {"reason": reason, "written": moment.isoformat(), **self._sources.facts()}
        # Beside the incident, so that it can be moved into it.
        observations = self._sources.observe(folder.with_name(f".{folder.name}.observations"))
        try:
            self._jobs.put_nowait(_Job(folder, self._ring.snapshot().segments, facts, observations))
        except queue.Full:
            self._logger.error(
                f"an incident is not written ({reason}): {self._jobs.maxsize} others wait for the disk of "
                f"{self._directory}"
            )
            return None
        return folder

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._write(job)
            except (IncidentError, OSError) as error:
                self._logger.error(f"cannot write an incident: {error}")
            except Exception:  # noqa: BLE001 - the next incident must be written all the same
                self._logger.error(f"unexpected error while writing {job.folder}:\n{traceback.format_exc()}")
            finally:
                self._jobs.task_done()

    def _write(self, job: _Job) -> None:
        folder = job.folder
        self._require_space()
        saved = job.observations()
        facts = {**job.facts, "observations": saved.note}
        try:
            write_incident(folder, job.segments, facts, saved.folder)
        finally:
            if saved.folder is not None:  # moved, unless the incident could not be written
                shutil.rmtree(saved.folder, ignore_errors=True)
        self._delete_oldest()
        self.newest, self.written = folder, self.written + 1
        self._logger.info(f"incident written; look at it with: dit_policy replay {folder}")

    def _require_space(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._directory).free
        if free < MIN_FREE:
            raise IncidentError(
                f"{self._directory} has {free / 1e6:.0f} MB left, {MIN_FREE / 1e6:.0f} MB are needed. Free "
                "some space, or set the parameter incident_directory to another disk"
            )

    def _delete_oldest(self) -> None:
        automatic = sorted(self._directory.glob(f"{_AUTOMATIC}_*"))  # the names sort by time
        for folder in automatic[: max(0, len(automatic) - MAX_AUTOMATIC)]:
            shutil.rmtree(folder)

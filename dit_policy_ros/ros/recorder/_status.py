# SPDX-License-Identifier: Apache-2.0
"""What the recorder says of itself: its status, and diagnostics for whoever watches the whole robot."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.data.dataset import nearest_existing
from dit_policy_ros.data.recording import EpisodeSink
from dit_policy_ros.msg import RecorderStatus
from dit_policy_ros.ros.common import qos, to_stamp
from dit_policy_ros.ros.recorder._buttons import Buttons
from dit_policy_ros.ros.recorder._episode import Recording
from dit_policy_ros.ros.recorder._episode_writer import EpisodeWriter
from dit_policy_ros.ros.recorder._streams import RecorderStreams

STATUS_RATE = 10.0  # [Hz]
_DIAGNOSTICS_PERIOD = 1.0  # [s]
_LEAST_FRAMES = 5  # for a guess of how fast the disk fills
_RATE_WINDOW = 2.0  # [s] over which cameras' rates are counted
_NAMES = {
    RecorderStatus.UNCONFIGURED: "unconfigured",
    RecorderStatus.INACTIVE: "inactive",
    RecorderStatus.READY: "ready",
    RecorderStatus.RECORDING: "recording",
    RecorderStatus.SAVING: "saving",
    RecorderStatus.ENDED: "ended",
}


@dataclass(slots=True)
class Configured:
    """What exists between configure and cleanup."""

    contract: Contract
    settings: dict[str, Any]
    streams: RecorderStreams
    sink: EpisodeSink
    writer: EpisodeWriter
    clock: Any  # the sampling timer; cancelled while nothing is recorded
    buttons: Buttons | None

    @property
    def folder(self) -> Path:
        """The dataset."""
        return Path(self.settings["dataset"])


class StatusReporter:
    """Builds the status message, and publishes /diagnostics once a second."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        self._diagnosed = 0.0  # [s]
        self._counted: dict[str, tuple[float, int, float]] = {}  # since [s], images then, rate before [Hz]
        self._bytes_per_second = float("nan")  # of the newest episode

    def status(
        self,
        configured: Configured | None,
        recording: Recording | None,
        active: bool,
        saving: bool,
        countdown: float,
    ) -> RecorderStatus:
        """The newest status; `countdown` [s] is left to reset the scene."""
        now_ns = self._node.get_clock().now().nanoseconds
        nan = float("nan")
        status = RecorderStatus(
            stamp=to_stamp(now_ns), disk_minutes_left=nan, remaining=nan, countdown=countdown
        )
        status.state = _state(configured, recording, active, saving)
        status.state_name = _NAMES[status.state]
        if configured is not None:
            sink = configured.sink
            status.dataset = str(configured.folder)
            status.episode_index = sink.next_index
            status.task = configured.settings["task"]
            status.stale_streams = list(configured.streams.problems())
            status.cameras = list(configured.contract.camera_names)
            status.camera_rates = [self._rate(configured, name) for name in status.cameras]
            status.disk_minutes_left = self._minutes_left(configured, recording)
            status.waiting = sink.pending_commits
            status.interrupted = list(map(str, sink.interrupted))
            status.problem = (
                (recording.stopped if recording is not None else None) or sink.commit_failure or ""
            )
        if configured is not None and recording is not None:
            sampler = recording.sampler
            status.task = recording.task
            status.frames = sampler.frames
            status.elapsed = max(0.0, (now_ns - sampler.first_stamp_ns) / NANOSECONDS)
            status.remaining = recording.remaining
            status.fps = sampler.slowest_camera(newest=round(configured.contract.fps))[0]
        self._diagnose(status)
        return status

    def _rate(self, configured: Configured, camera: str) -> float:
        """Images per second that arrive [Hz]."""
        now, images = time.monotonic(), configured.streams.observations.images[camera].counters.accepted
        since, then, rate = self._counted.setdefault(camera, (now, images, 0.0))
        if now - since >= _RATE_WINDOW or images < then:
            rate = max(0, images - then) / max(now - since, 1e-9)
            self._counted[camera] = (now, images, rate)
        return rate

    def _minutes_left(self, configured: Configured, recording: Recording | None) -> float:
        """Recording that still fits on the disk, by the size of the newest episode [min]."""
        free = shutil.disk_usage(nearest_existing(configured.folder)).free
        written = configured.sink.episode_bytes
        if recording is not None and recording.sampler.frames >= _LEAST_FRAMES and written:
            seconds = recording.sampler.frames / configured.contract.fps
            self._bytes_per_second = written / seconds
        return free / self._bytes_per_second / 60.0

    def _diagnose(self, status: RecorderStatus) -> None:
        if time.monotonic() - self._diagnosed < _DIAGNOSTICS_PERIOD:
            return
        self._diagnosed = time.monotonic()
        level = DiagnosticStatus.OK
        if status.problem:
            level = DiagnosticStatus.ERROR
        elif (status.stale_streams and status.state >= RecorderStatus.READY) or status.interrupted:
            level = DiagnosticStatus.WARN
        values = {
            "task": status.task,
            "episode": status.episode_index,
            "frames": status.frames,
            "stale streams": " ".join(status.stale_streams),
            "disk left [min]": f"{status.disk_minutes_left:.0f}",
            "waiting to be added": status.waiting,
        }
        entry = DiagnosticStatus(
            level=level,
            name=f"{self._node.get_name()}: recording",
            message=status.problem or status.state_name,
            hardware_id=status.dataset,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[entry])
        array.header.stamp = status.stamp
        self._diagnostics.publish(array)


def _state(configured: Configured | None, recording: Recording | None, active: bool, saving: bool) -> int:
    if configured is None:
        return RecorderStatus.UNCONFIGURED
    if saving:
        return RecorderStatus.SAVING
    if recording is not None:
        return RecorderStatus.RECORDING if recording.stopped is None else RecorderStatus.ENDED
    return RecorderStatus.READY if active else RecorderStatus.INACTIVE

# SPDX-License-Identifier: Apache-2.0
"""The recorder's status message and its entry in /diagnostics."""

import shutil
import time

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.data.dataset import nearest_existing
from dit_policy_ros.msg import RecorderStatus
from dit_policy_ros.ros.common import Health, qos, silent_clock, to_stamp
from dit_policy_ros.ros.recorder._episode import Recording
from dit_policy_ros.ros.recorder._state import Configured, RecorderState

STATUS_RATE = 10.0  # [Hz]
_DIAGNOSTICS_PERIOD = 1.0  # [s]
_MIN_FRAMES = 5  # before the disk usage per second is estimated
_RATE_WINDOW = 2.0  # [s] averaging time of the cameras' rates
_NAMES = {
    RecorderStatus.UNCONFIGURED: "unconfigured",
    RecorderStatus.INACTIVE: "inactive",
    RecorderStatus.READY: "ready",
    RecorderStatus.RECORDING: "recording",
    RecorderStatus.SAVING: "saving",
    RecorderStatus.ENDED: "ended",
}


class StatusReporter:
    """Builds the status message, and publishes /diagnostics once a second."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        self._diagnosed = 0.0  # [s]
        # by camera: start of the count [s], images until then, rate before it [Hz]
        self._counted: dict[str, tuple[float, int, float]] = {}
        self._bytes_per_second = float("nan")  # of the newest episode

    def status(self, state: RecorderState, is_active: bool) -> RecorderStatus:
        """The present status. is_active: of the lifecycle node."""
        configured, recording = state.configured, state.recording
        now_ns = self._node.get_clock().now().nanoseconds
        nan = float("nan")
        status = RecorderStatus(
            stamp=to_stamp(now_ns), disk_minutes_left=nan, remaining=nan, countdown=state.countdown
        )
        status.state = state.status_code(is_active)
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
                (recording.stopped if recording is not None else None)
                or sink.commit_failure
                or silent_clock(self._node)
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
        """Rate of arriving images [Hz]."""
        now, images = time.monotonic(), configured.streams.observations.images[camera].counters.accepted
        since, then, rate = self._counted.setdefault(camera, (now, images, 0.0))
        if now - since >= _RATE_WINDOW or images < then:
            rate = max(0, images - then) / max(now - since, 1e-9)
            self._counted[camera] = (now, images, rate)
        return rate

    def _minutes_left(self, configured: Configured, recording: Recording | None) -> float:
        """Recording time that still fits on the disk [min], judged by the newest episode's size."""
        free = shutil.disk_usage(nearest_existing(configured.folder)).free
        written = configured.sink.episode_bytes
        if recording is not None and recording.sampler.frames >= _MIN_FRAMES and written:
            seconds = recording.sampler.frames / configured.contract.fps
            self._bytes_per_second = written / seconds
        return free / self._bytes_per_second / 60.0

    def _diagnose(self, status: RecorderStatus) -> None:
        if time.monotonic() - self._diagnosed < _DIAGNOSTICS_PERIOD:
            return
        self._diagnosed = time.monotonic()
        name = self._node.get_fully_qualified_name().lstrip("/")
        health = Health(f"{name}: recording", status.dataset)
        health.figure("task", status.task)
        health.figure("episode", status.episode_index)
        health.figure("frames", status.frames)
        health.figure("stale streams", " ".join(status.stale_streams))
        health.figure("disk left", f"{status.disk_minutes_left:.0f}", "min")
        health.figure("waiting to be added", status.waiting)
        stale = bool(status.stale_streams) and status.state >= RecorderStatus.READY
        health.error_if(bool(status.problem), status.problem)
        health.warn_if(not status.problem and (stale or bool(status.interrupted)), status.state_name)
        array = DiagnosticArray(status=[health.status(status.state_name)])
        array.header.stamp = status.stamp
        self._diagnostics.publish(array)

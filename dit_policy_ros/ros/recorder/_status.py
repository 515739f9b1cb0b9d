# SPDX-License-Identifier: Apache-2.0
"""The recorder's status message and its entry in /diagnostics."""

import shutil
import time
from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from dit_policy_ros.core.contract import NANOSECONDS
from dit_policy_ros.core.sensing import unusable_reason
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
        self._quarantined = 0  # episodes that were reported
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
        problem: str | None = None
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
            ignored = "" if state.buttons is None else state.buttons.problem
            unusable = ignored or _unusable(configured, recording)
            problem = (
                (recording.stopped if recording is not None else None)
                or sink.commit_failure
                or silent_clock(self._node)
            )
            status.problem = problem or unusable
            if configured.streams.control is not None:
                status.controller = configured.streams.control.newest().controller
            self._report_quarantine(sink.quarantined)
        if configured is not None and recording is not None:
            sampler = recording.sampler
            status.task = recording.task
            status.frames = sampler.frames
            status.elapsed = max(0.0, (now_ns - sampler.first_stamp_ns) / NANOSECONDS)
            status.remaining = recording.remaining
            status.encoder_queue = configured.writer.queued
            status.fps = sampler.slowest_camera(newest=round(configured.contract.fps))[0]
            status.warning = _warning(configured, recording)
        self._diagnose(status, configured, is_only_warned=not problem)
        return status

    def _report_quarantine(self, episodes: Sequence[object]) -> None:
        """Says once of each episode that it is not in the dataset; /diagnostics says it all the time."""
        for episode in episodes[self._quarantined :]:
            self._node.get_logger().error(
                f"an episode cannot be added to the dataset and was moved to {episode}. It is not lost, and "
                "recording goes on. Later episodes have lower numbers than ~/stop_episode answered. "
                "`dit_policy inspect DATASET --quarantine retry` adds it after an update or a repair"
            )
        self._quarantined = len(episodes)

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

    def _diagnose(self, status: RecorderStatus, configured: Configured | None, is_only_warned: bool) -> None:
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
        health.figure("encoder queue", status.encoder_queue)
        health.figure("waiting to be added", status.waiting)
        stale = bool(status.stale_streams) and status.state >= RecorderStatus.READY
        health.figure("in quarantine", self._quarantined)
        for stream in () if configured is None else configured.streams.sources():
            for kind, count in stream.counters.lost().items():
                health.figure(f"{stream.topic} {kind}", count)
        health.error_if(bool(status.problem) and not is_only_warned, status.problem)
        health.warn_if(bool(status.problem) and is_only_warned, status.problem)
        waits = stale or bool(status.interrupted)
        health.warn_if(not status.problem and waits, status.state_name)
        health.warn_if(bool(self._quarantined), "an episode is in quarantine: dit_policy inspect DATASET")
        array = DiagnosticArray(status=[health.status(status.state_name)])
        array.header.stamp = status.stamp
        self._diagnostics.publish(array)


def _warning(configured: Configured, recording: Recording) -> str:
    """What the operator should look at while the episode goes on; empty if there is nothing."""
    sampler, settings = recording.sampler, configured.settings
    texts = [f"{name}: {each.text()}" for name, each in sampler.losses().items() if each.text()]
    least = max(1.0, settings["check.max_missing"] / 2.0 * sampler.frames)
    texts += [
        f"{name}: {count} of {sampler.frames} frames have no new sample"
        for name, count in sampler.missing.items()
        if count > least
    ]
    rate = sampler.slowest_camera(newest=round(2.0 * configured.contract.fps))[0]
    if (
        sampler.frames >= configured.contract.fps
        and rate < settings["check.min_rate"] * configured.contract.fps
    ):
        texts.append(f"the slowest camera delivers {rate:.1f} images per second")
    return "; ".join(texts)


def _unusable(configured: Configured, recording: Recording | None) -> str:
    """What cannot be used of the samples that come: of the running episode, or else now; empty if all can."""
    if recording is not None:
        losses = recording.sampler.losses().items()
        return "; ".join(f"{name}: {each.text()}" for name, each in losses if each.counters.refused)
    now_ns = configured.streams.now_ns()
    streams = configured.streams.observations.streams
    return "; ".join(reason for stream in streams if (reason := unusable_reason(stream, now_ns)))

# SPDX-License-Identifier: Apache-2.0
"""The episode that is being recorded, from the first frame to its report."""

import threading
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.recording import (
    CheckThresholds,
    EpisodeCheck,
    EpisodeFrame,
    EpisodeSampler,
    check_episode,
)
from dit_policy_ros.data.recording import CameraHealth, EpisodeOutcome
from dit_policy_ros.msg import EpisodeReport


class FrameWriter(Protocol):
    """Where frames are written: an EpisodeWriter, or a writer without a thread."""

    @property
    def failure(self) -> str | None:
        """Why the episode accepts no more frames, or None."""
        ...

    @property
    def frames(self) -> int:
        """Number of frames written in the running episode."""
        ...

    def put(self, frame: EpisodeFrame, task: str) -> bool:
        """Accepts a frame without waiting. Returns False if it cannot; the frame is then not written."""
        ...


_EMPTY_EPISODE = EpisodeCheck(("no frame was recorded",))


class Recording:
    """Moves frames from the sampler to the writer until the episode ends or an error stops it.

    Frames recorded up to then are kept. `stopped` says why no more frames are accepted, `failed` whether the
    reason is an error.

    Args:
        task: the instruction at the start.
        contract: rate, joints and limits.
        sampler: source of the frames.
        writer: destination of the frames.
        max_length: the episode stops after this time [s]; 0 for no limit.
    """

    def __init__(
        self,
        task: str,
        contract: Contract,
        *,
        sampler: EpisodeSampler,
        writer: FrameWriter,
        max_length: float = 0.0,
    ) -> None:
        self.sampler = sampler
        self.stopped: str | None = None
        self.failed = False
        self.health: Mapping[str, CameraHealth] = {}
        self._tasks = [(0, task)]  # (valid from [ns], instruction), in order
        self._writer = writer
        self._contract = contract
        self._max_frames = round(max_length * contract.fps)
        self._lock = threading.Lock()
        self._ended = False

    @property
    def task(self) -> str:
        """The newest instruction."""
        return self._tasks[-1][1]

    @property
    def remaining(self) -> float:
        """Time until the maximum length is reached [s]; NaN without a limit."""
        remaining = max(0, self._max_frames - self.sampler.frames) / self._contract.fps
        return remaining if self._max_frames else float("nan")

    def set_task(self, task: str, now_ns: int) -> None:
        """Changes the instruction of all frames from `now_ns` [ns] on."""
        with self._lock:
            self._tasks.append((now_ns, task))

    def stop(self, reason: str) -> None:
        """Stops because of an error. The frames so far are kept."""
        with self._lock:
            if self.stopped is None:
                self.stopped, self.failed = reason, True

    def tick(self, now_ns: int) -> bool:
        """Writes all frames that are complete at `now_ns` [ns]. True if this call stopped the episode."""
        with self._lock:
            if self._ended or self.stopped is not None:
                return False
            try:
                while not self._is_full() and (frame := self.sampler.poll(now_ns)) is not None:
                    if not self._writer.put(frame, self._task_at(frame.stamp_ns)):
                        raise StreamError(
                            "images arrive faster than they can be encoded; free some CPU, or lower the "
                            "cameras' resolution or fps"
                        )
            except StreamError as error:
                self.stopped, self.failed = str(error), True
            if self._writer.failure is not None:
                self.stopped, self.failed = self._writer.failure, True
            elif self.stopped is None and self._is_full():
                self.stopped = "the episode has reached max_episode_length"
            return self.stopped is not None

    def end(self, now_ns: int) -> None:
        """Writes the last frames; later calls of `tick` write none. May be called again."""
        self.tick(now_ns)
        with self._lock:
            self._ended = True

    def check(self, thresholds: CheckThresholds) -> EpisodeCheck:
        """The quality check. Call it after the writer has ended and `health` is set."""
        trace, (rate, _) = self.sampler.trace, self.sampler.slowest_camera()
        check = _EMPTY_EPISODE
        if len(trace):
            check = check_episode(trace, rate, self.health, self._contract, thresholds)
        error = self.stopped if self.failed else self._writer.failure
        if error is None:
            return check
        return check.with_reason(f"the episode ended early, at frame {self._writer.frames}: {error}")

    def report(self, episode_index: int, success_label: bool, check: EpisodeCheck) -> EpisodeReport:
        """The report that ~/stop_episode returns."""
        rate, p99 = self.sampler.slowest_camera()
        dropped = self.sampler.stream_counters()
        streams = list(self.sampler.missing)
        frames = self._writer.frames
        return EpisodeReport(
            episode_index=episode_index,
            task=self.task,
            success_label=success_label,
            passed=check.passed,
            reasons=list(check.reasons),
            warnings=list(check.warnings),
            frames=frames,
            duration=max(0, frames - 1) / self._contract.fps,
            fps=rate,
            interval_p99=p99,
            streams=streams,
            missing_frames=list(self.sampler.missing.values()),
            duplicates=[dropped[name].duplicates if name in dropped else 0 for name in streams],
            late_samples=[
                dropped[name].late + dropped[name].future if name in dropped else 0 for name in streams
            ],
            cameras=list(self.health),
            frozen_images=[camera.frozen for camera in self.health.values()],
            clipped_images=[camera.clipped for camera in self.health.values()],
            encoder_waits=[camera.waits for camera in self.health.values()],
            camera_skew=check.camera_skew,
            joint_skew=check.joint_skew,
            idle_start=check.idle_start,
            idle_end=check.idle_end,
            action_jumps=check.jumps,
            still_joints=list(check.still_joints),
        )

    def outcome(
        self, success_label: bool | None, check: EpisodeCheck, extra_figures: Mapping[str, Any] | None = None
    ) -> EpisodeOutcome:
        """The episode's record for the dataset's side table, with `extra_figures` added."""
        figures = asdict(check)
        for name in ("reasons", "warnings", "still_joints"):
            figures[name] = list(figures[name])
        reasons = figures.pop("reasons")
        rate, p99 = self.sampler.slowest_camera()
        measured = {name: value for name, value in (("fps", rate), ("interval_p99", p99)) if value == value}
        return EpisodeOutcome(
            success_label,
            check.passed,
            tuple(reasons),
            figures=figures | measured | dict(extra_figures or {}),
        )

    def _is_full(self) -> bool:
        return 0 < self._max_frames <= self.sampler.frames

    def _task_at(self, stamp_ns: int) -> str:
        """The instruction at a time [ns]."""
        index = bisect_right(self._tasks, stamp_ns, lo=1, key=lambda entry: entry[0])
        return self._tasks[index - 1][1]

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
    """Where frames go: an EpisodeWriter, or something that needs no thread."""

    @property
    def failure(self) -> str | None:
        """Why the episode takes no more frames, if so."""
        ...

    @property
    def frames(self) -> int:
        """Frames written in the running episode."""
        ...

    def put(self, frame: EpisodeFrame, task: str) -> bool:
        """Takes a frame; False if it cannot be taken without waiting."""
        ...


_NOTHING = EpisodeCheck(("no frame was recorded",))


class Recording:
    """Moves frames from the sampler to the writer until it is ended, or until that becomes impossible.

    What was recorded up to then is kept: `stopped` says why no more frames are taken, `failed` whether that
    is a fault.

    Args:
        task: the instruction at the beginning.
        sampler: where frames come from.
        writer: where they go.
        contract: rate, joints and limits.
        max_length: frames after which it stops [s]; 0 for no limit.
    """

    def __init__(
        self, task: str, sampler: EpisodeSampler, writer: FrameWriter, contract: Contract, max_length: float
    ) -> None:
        self.sampler = sampler
        self.stopped: str | None = None
        self.failed = False
        self.health: Mapping[str, CameraHealth] = {}
        self._tasks = [(0, task)]  # since when [ns], and the instruction
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
        """Time until it stops by itself [s]; NaN without a limit."""
        left = max(0, self._max_frames - self.sampler.frames) / self._contract.fps
        return left if self._max_frames else float("nan")

    def set_task(self, task: str, now_ns: int) -> None:
        """Changes the instruction for the frames from `now_ns` [ns] on."""
        with self._lock:
            self._tasks.append((now_ns, task))

    def stop(self, reason: str) -> None:
        """Takes no more frames because of a fault; what was recorded is kept."""
        with self._lock:
            if self.stopped is None:
                self.stopped, self.failed = reason, True

    def tick(self, now_ns: int) -> bool:
        """Takes every frame that is final at `now_ns` [ns]; True if this call made it stop."""
        with self._lock:
            if self._ended or self.stopped is not None:
                return False
            try:
                while not self._is_full() and (frame := self.sampler.poll(now_ns)) is not None:
                    if not self._writer.put(frame, self._task_at(frame.stamp_ns)):
                        raise StreamError(
                            "images come faster than they can be encoded; free some CPU, or lower the "
                            "cameras' resolution or fps"
                        )
            except StreamError as error:
                self.stopped, self.failed = str(error), True
            if self._writer.failure is not None:
                self.stopped, self.failed = self._writer.failure, True
            elif self.stopped is None and self._is_full():
                self.stopped = "the episode has reached its greatest length"
            return self.stopped is not None

    def end(self, now_ns: int) -> None:
        """Takes the last frames; none are taken afterwards. May be called again."""
        self.tick(now_ns)
        with self._lock:
            self._ended = True

    def judge(self, thresholds: CheckThresholds) -> EpisodeCheck:
        """The verdict; call it after the writer has ended and `health` is set."""
        trace, (rate, _) = self.sampler.trace, self.sampler.slowest_camera()
        verdict = (
            check_episode(trace, rate, self.health, self._contract, thresholds) if len(trace) else _NOTHING
        )
        fault = self.stopped if self.failed else self._writer.failure
        if fault is None:
            return verdict
        return verdict.with_reason(f"the episode ended early, at frame {self._writer.frames}: {fault}")

    def report(self, episode_index: int, success_label: bool, verdict: EpisodeCheck) -> EpisodeReport:
        """What was recorded."""
        rate, p99 = self.sampler.slowest_camera()
        dropped = self.sampler.stream_counters()
        streams = list(self.sampler.missing)
        frames = self._writer.frames
        return EpisodeReport(
            episode_index=episode_index,
            task=self.task,
            success_label=success_label,
            passed=verdict.passed,
            reasons=list(verdict.reasons),
            warnings=list(verdict.warnings),
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
            camera_skew=verdict.camera_skew,
            joint_skew=verdict.joint_skew,
            idle_start=verdict.idle_start,
            idle_end=verdict.idle_end,
            action_jumps=verdict.jumps,
            still_joints=list(verdict.still_joints),
        )

    def label(
        self, success: bool | None, verdict: EpisodeCheck, more: Mapping[str, Any] | None = None
    ) -> EpisodeOutcome:
        """What goes into the dataset's side table, `more` figures included."""
        figures = asdict(verdict)
        for name in ("reasons", "warnings", "still_joints"):
            figures[name] = list(figures[name])
        reasons = figures.pop("reasons")
        rate, p99 = self.sampler.slowest_camera()
        measured = {name: value for name, value in (("fps", rate), ("interval_p99", p99)) if value == value}
        return EpisodeOutcome(
            success, verdict.passed, tuple(reasons), figures=figures | measured | dict(more or {})
        )

    def _is_full(self) -> bool:
        return 0 < self._max_frames <= self.sampler.frames

    def _task_at(self, stamp_ns: int) -> str:
        """The instruction in force at a time [ns]."""
        index = bisect_right(self._tasks, stamp_ns, lo=1, key=lambda entry: entry[0])
        return self._tasks[index - 1][1]

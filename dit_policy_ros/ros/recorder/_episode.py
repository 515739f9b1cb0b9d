# SPDX-License-Identifier: Apache-2.0
"""The episode that is being recorded, from the first frame to its report."""

import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from rclpy.impl.rcutils_logger import RcutilsLogger

from dit_policy_ros.core.contract import Contract
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.core.recording import (
    CheckThresholds,
    EpisodeCheck,
    EpisodeFrame,
    EpisodeSampler,
    check_episode,
)
from dit_policy_ros.data.recording import MIN_FRAMES, EndedEpisode, EpisodeOutcome
from dit_policy_ros.msg import EpisodeReport
from dit_policy_ros.srv import StopEpisode


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

    @property
    def refused(self) -> Mapping[str, Sequence[int]]:
        """By camera, the frames of the running episode whose image could not be used."""
        ...

    @property
    def refusal(self) -> str:
        """What was wrong with the newest of these images; empty if there is none."""
        ...

    def put(self, frame: EpisodeFrame, task: str) -> bool:
        """Accepts a frame without waiting. Returns False if it cannot; the frame is then not written."""
        ...


_EMPTY_EPISODE = EpisodeCheck(("no frame was recorded",))


class Recording:
    """Moves frames from the sampler to the writer until the episode ends or an error stops it.

    Frames recorded up to then are kept. `stopped` says why no more frames are accepted, `failed` whether the
    reason is an error. `ended` is what the files contain, once the writer has ended.

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
        self.ended: EndedEpisode | None = None
        self._tasks = [(0, task)]  # (valid from [ns], instruction), in order
        self._writer = writer
        self._contract = contract
        # A limit of less than a frame is one, and not none.
        self._max_frames = max(MIN_FRAMES, round(max_length * contract.fps)) if max_length > 0.0 else 0
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
        """Stops because of an error. The frames so far are kept, and the check fails with the reason.

        An error that has stopped the episode before stays the reason; its maximum length does not.
        """
        with self._lock:
            if not self.failed:
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
        """The quality check. Call it when `ended` is set."""
        ended = self._counted
        trace, (rate, _) = self.sampler.trace, self.sampler.slowest_camera()
        for name, frames in self._writer.refused.items():
            trace.mark_repeated(name, frames)
        check = _EMPTY_EPISODE
        if len(trace):
            losses = self.sampler.losses()
            slowest = self.sampler.slowest_camera_name()
            check = check_episode(trace, rate, ended.cameras, self._contract, thresholds, losses, slowest)
        error = (self.stopped if self.failed else self._writer.failure) or ended.failure
        return check if error is None else check.with_reason(ended.early_end(error))

    @property
    def is_too_short(self) -> bool:
        """Whether the files contain too few frames for an episode. Use it when `ended` is set."""
        return self._counted.is_counted and self._counted.frames < MIN_FRAMES

    def report(self, episode_index: int, success_label: bool, check: EpisodeCheck) -> EpisodeReport:
        """The report that ~/stop_episode returns."""
        rate, p99 = self.sampler.slowest_camera()
        dropped = {name: each.counters for name, each in self.sampler.losses().items()}
        streams, missing = list(self.sampler.missing), self.sampler.trace.repeated
        ended = self._counted
        return EpisodeReport(
            episode_index=episode_index,
            task=self.task,
            success_label=success_label,
            passed=check.passed,
            reasons=list(check.reasons),
            warnings=list(check.warnings),
            frames=ended.frames,
            duration=max(0, ended.frames - 1) / self._contract.fps,
            fps=rate,
            interval_p99=p99,
            streams=streams,
            missing_frames=[len(missing.get(name, ())) for name in streams],
            duplicates=[dropped[name].duplicates if name in dropped else 0 for name in streams],
            unusable_samples=[dropped[name].refused if name in dropped else 0 for name in streams],
            human_frames=self.sampler.human_frames,
            late_samples=[
                dropped[name].late + dropped[name].future if name in dropped else 0 for name in streams
            ],
            cameras=list(ended.cameras),
            frozen_images=[camera.frozen for camera in ended.cameras.values()],
            clipped_images=[camera.clipped for camera in ended.cameras.values()],
            encoder_waits=[camera.waits for camera in ended.cameras.values()],
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
        dropped = {name: each.counters.lost() for name, each in self.sampler.losses().items()}
        figures["dropped"] = {name: counts for name, counts in dropped.items() if counts}
        rate, p99 = self.sampler.slowest_camera()
        measured = {name: value for name, value in (("fps", rate), ("interval_p99", p99)) if value == value}
        if self.sampler.policies:
            figures["policies"], figures["human_frames"] = (
                dict(self.sampler.policies),
                self.sampler.human_frames,
            )
        return EpisodeOutcome(
            success_label,
            check.passed,
            tuple(reasons),
            figures=figures | measured | dict(extra_figures or {}),
        )

    @property
    def _counted(self) -> EndedEpisode:
        return self.ended or EndedEpisode(self._writer.frames, {})

    def _is_full(self) -> bool:
        return 0 < self._max_frames <= self.sampler.frames

    def _task_at(self, stamp_ns: int) -> str:
        """The instruction at a time [ns]."""
        index = bisect_right(self._tasks, stamp_ns, lo=1, key=lambda entry: entry[0])
        return self._tasks[index - 1][1]


def log_stop(logger: RcutilsLogger, recording: Recording) -> None:
    """Say that an episode has stopped by itself, and why."""
    text = f"recording stopped: {recording.stopped}; call ~/stop_episode to keep or discard the episode"
    if recording.failed:  # rclpy refuses two severities in one line
        logger.error(text)
    else:
        logger.info(text)


def outcome_text(request: StopEpisode.Request, report: EpisodeReport) -> str:
    """What became of an episode, for the service's answer."""
    was_saved = report.episode_index >= 0
    what = f"episode {report.episode_index} saved" if was_saved else "episode discarded"
    text = f"{what}: {report.frames} frames, {report.duration:.1f} s, {report.task!r}"
    if request.save and not was_saved:
        return f"{text}. It cannot be saved: an episode needs at least {MIN_FRAMES} frames"
    if request.save and not report.passed:
        return f"{text}. It FAILED the check: {'; '.join(report.reasons)}"
    return text

# SPDX-License-Identifier: Apache-2.0
"""The episode that is being recorded, from the first frame to its report."""

import threading

from dit_policy_ros.core.episode_sampler import EpisodeSampler
from dit_policy_ros.core.errors import StreamError
from dit_policy_ros.msg import EpisodeReport
from dit_policy_ros.ros.episode_writer import EpisodeWriter

_RATE_TOLERANCE = 0.95  # of the contract's rate; below it the operator is warned


class Recording:
    """Moves frames from the sampler to the writer until it is ended, or until that becomes impossible.

    What was recorded up to then is kept: `failure` says what happened.
    """

    def __init__(self, task: str, sampler: EpisodeSampler, writer: EpisodeWriter, fps: float) -> None:
        self.task = task
        self.sampler = sampler
        self.failure: str | None = None
        self._writer = writer
        self._fps = fps
        self._lock = threading.Lock()
        self._ended = False

    def tick(self, now_ns: int) -> bool:
        """Takes every frame that is final at `now_ns` [ns]; True if this call made the recording fail."""
        with self._lock:
            if self._ended or self.failure is not None:
                return False
            try:
                while (frame := self.sampler.poll(now_ns)) is not None:
                    if not self._writer.put(frame, self.task):
                        raise StreamError(
                            "images come faster than they can be encoded; free some CPU, or lower the "
                            "cameras' resolution or fps"
                        )
            except StreamError as error:
                self.failure = str(error)
            if self._writer.failure is not None:
                self.failure = self._writer.failure
            return self.failure is not None

    def end(self, now_ns: int) -> None:
        """Takes the last frames; none are taken afterwards."""
        self.tick(now_ns)
        with self._lock:
            self._ended = True

    def report(self, episode_index: int, success_label: bool) -> EpisodeReport:
        """What was recorded; call it after the writer has finished."""
        sampler, frames = self.sampler, self._writer.frames
        rate, p99 = sampler.reached()
        report = EpisodeReport(
            episode_index=episode_index,
            task=self.task,
            success_label=success_label,
            frames=frames,
            duration=max(0, frames - 1) / self._fps,
            fps=rate,
            interval_p99=p99,
            streams=list(sampler.missing),
            missing_frames=list(sampler.missing.values()),
        )
        report.warnings = self._warnings(rate)
        return report

    def _warnings(self, rate: float) -> list[str]:
        warnings = []
        failure = self.failure or self._writer.failure
        if failure is not None:
            warnings.append(f"the episode ended early, at frame {self._writer.frames}: {failure}")
        if rate < _RATE_TOLERANCE * self._fps:
            warnings.append(
                f"the slowest camera delivered {rate:.1f} images per second of {self._fps:g}. If it sends "
                "more, they are lost on the way: start it with the Fast DDS profile config/fastdds.xml"
            )
        for name, missing in self.sampler.missing.items():
            if missing:
                warnings.append(
                    f"{name}: {missing} of {self.sampler.frames} frames repeat the sample before them"
                )
        return warnings

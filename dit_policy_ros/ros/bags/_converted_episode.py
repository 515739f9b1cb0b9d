# SPDX-License-Identifier: Apache-2.0
"""One episode of a bag while it is converted: sampled at the times at which the recorder's timer would."""

from typing import Any

from dit_policy_ros.core.contract import NANOSECONDS, Contract
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.policy_interface import check_task
from dit_policy_ros.core.recording import CheckThresholds, EpisodeCheck, EpisodeFrame, EpisodeSampler
from dit_policy_ros.core.sensing import LATE_SAMPLE_TIMEOUT
from dit_policy_ros.data.recording import MIN_FRAMES, DatasetWriter
from dit_policy_ros.ros.bags._bag import Bag
from dit_policy_ros.ros.bags._playback import Playback
from dit_policy_ros.ros.bags._segment import Converted, Segment, source_of
from dit_policy_ros.ros.recorder import FrameRecorder, RecorderStreams, Recording

TAIL = 2.0 * LATE_SAMPLE_TIMEOUT  # [s] after an episode; messages may still belong to its last frames
# What live reasons advise, and what is of no use for a bag.
_LIVE_ADVICE = (
    "; is its publisher running, and is the topic right?",
    "; start the teleoperation, or move once",
    "; start the teleoperation",
)


class _DirectWriter:
    """Writes decoded frames into the dataset without a thread; the counterpart of EpisodeWriter.

    Frames wait until the episode before is written: a dataset takes one episode at a time.
    """

    def __init__(self, dataset: DatasetWriter, contract: Contract, streams: RecorderStreams) -> None:
        self.failure: str | None = None
        self._recorder = FrameRecorder(dataset, contract.cameras, streams.observations.images)
        self._held: list[tuple[EpisodeFrame, str]] | None = []

    @property
    def frames(self) -> int:
        """Number of frames written."""
        return self._recorder.frames

    @property
    def refused(self) -> dict[str, list[int]]:
        """See FrameWriter."""
        return self._recorder.refused

    @property
    def refusal(self) -> str:
        """See FrameWriter."""
        return self._recorder.refusal

    def put(self, frame: EpisodeFrame, task: str) -> bool:
        """Takes a frame; see FrameWriter."""
        if self._held is not None:
            self._held.append((frame, task))
        elif self.failure is None:
            try:
                self._recorder.add(frame, task)
            except DitPolicyError as error:
                self.failure = str(error)
        return True

    def release(self) -> None:
        """Writes the frames that wait, and later ones at once. May be called again."""
        held, self._held = self._held, None
        for frame, task in held or ():
            self.put(frame, task)


class ConvertedEpisode:
    """A segment during its conversion. It begins as soon as all streams are live.

    Args:
        contract: of the robot.
        segment: the episode.
        playback: shows the time of the bag.
        streams: the bag's messages.
        dataset: takes the episode.
    """

    def __init__(
        self,
        contract: Contract,
        segment: Segment,
        playback: Playback,
        streams: RecorderStreams,
        dataset: DatasetWriter,
    ) -> None:
        self.segment = segment
        self._contract, self._playback, self._streams, self._dataset = contract, playback, streams, dataset
        self._next_ns = segment.start_ns
        self._writer = _DirectWriter(dataset, contract, streams)
        self._recording: Recording | None = None
        self._problem, self._note, self._is_lost = segment.problem, "", bool(segment.problem)
        if not self._is_lost:
            try:
                check_task(segment.task)
            except DitPolicyError as error:
                self._problem, self._is_lost = str(error), True

    def advance(self, until_ns: int) -> None:
        """Advance to a time [ns], in the recorder's steps."""
        step_ns = self._contract.dt_ns // 2
        while not self._is_lost and self._next_ns < until_ns:
            self._playback.now_ns = max(self._playback.now_ns, self._next_ns)
            if self._recording is None:
                self._begin(self._next_ns)
            if self._recording is not None:
                self._recording.tick(self._next_ns)
            self._next_ns += step_ns

    def is_over(self, now_ns: int) -> bool:
        """Whether no more frames can follow. If some can, and all episodes before are over, it is written."""
        self._writer.release()
        stopped = self._is_lost or (self._recording is not None and self._recording.stopped is not None)
        return stopped or now_ns > self.segment.stop_ns + round(TAIL * NANOSECONDS)

    def finish(self, bag: Bag, thresholds: CheckThresholds) -> Converted:
        """Save the episode, if it has frames."""
        self._writer.release()
        recording, segment = self._recording, self.segment
        if recording is None:
            return Converted(segment, -1, EpisodeCheck(), 0, self._problem)
        recording.tick(self._next_ns)  # learns of a failure while its frames waited
        if self._writer.frames < MIN_FRAMES:
            self._dataset.discard_episode()
            few = f"it has fewer than {MIN_FRAMES} frames"
            reason = self._writer.failure or (recording.stopped if recording.failed else None) or few
            return Converted(segment, -1, EpisodeCheck(), 0, reason)
        recording.ended = self._dataset.end_episode()
        check = recording.check(thresholds)
        if segment.cut_short:
            check = check.with_reason(recording.ended.early_end(segment.cut_short))
        figures: dict[str, Any] = source_of(bag.path, segment)
        index = self._dataset.save_episode(recording.outcome(segment.success, check, figures))
        return Converted(segment, index, check, recording.ended.frames, note=self._note)

    def _begin(self, now_ns: int) -> None:
        """Begin at a time [ns] if the streams are live; else remember why not."""
        segment = self.segment
        if now_ns >= segment.stop_ns:
            self._is_lost = True
            self._problem = f"at no time in it are all streams live: {self._problem}"
            return
        try:
            if problems := self._streams.problems():
                raise DitPolicyError("; ".join(problems.values()))
            observations, actions = self._streams.observations, self._streams.actions
            sampler = EpisodeSampler(self._contract, observations, actions, now_ns)
        except DitPolicyError as error:
            self._problem = str(error)
            for advice in _LIVE_ADVICE:
                self._problem = self._problem.replace(advice, "")
            return
        length = (segment.stop_ns - sampler.first_stamp_ns) / NANOSECONDS  # [s]
        if round(length * self._contract.fps) < MIN_FRAMES:
            self._problem, self._is_lost = f"it has fewer than {MIN_FRAMES} frames", True
            return
        if late := self._problem:
            after = (now_ns - segment.start_ns) / NANOSECONDS  # [s]
            self._note = f"begins {after:.2f} s later, when all streams were live; until then: {late}"
        self._recording = Recording(
            segment.task, self._contract, sampler=sampler, writer=self._writer, max_length=length
        )
        for when_ns, task in segment.changes:
            self._recording.set_task(task, when_ns)

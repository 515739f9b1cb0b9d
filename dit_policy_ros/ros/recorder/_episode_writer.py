# SPDX-License-Identifier: Apache-2.0
"""Decodes frames and writes them in a thread of its own, so that sampling never waits."""

import functools
import queue
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError, DitPolicyError
from dit_policy_ros.core.recording import EpisodeFrame
from dit_policy_ros.core.sensing import StreamBuffer
from dit_policy_ros.data.recording import EndedEpisode, EpisodeOutcome, EpisodeSink
from dit_policy_ros.ros.recorder._frame_recorder import FrameRecorder

PATIENCE = 60.0  # [s] without any progress after which the thread counts as hung


class _Step(StrEnum):
    """What a caller waits for, as the error says it."""

    BEGIN = "opening the episode's files"
    END = "writing the episode's last frames"
    SAVE = "saving the episode"
    DISCARD = "discarding the episode"
    RECOVER = "recovering the interrupted episodes"
    RELABEL = "labelling the episode"
    CLOSE = "closing the dataset"


@dataclass(frozen=True, slots=True)
class _Job:
    """Work for the thread between two frames, and the future of its result."""

    work: Callable[[], Any]
    result: Future


class EpisodeWriter:
    """Owns a sink, and the thread that calls it. `failure` says why an episode takes no more frames.

    No call waits for ever: when the thread has finished nothing for `patience`, the call raises DatasetError.
    Its work is not lost. The same call made again waits for the same work.

    Args:
        make_sink: makes what writes the episodes.
        cameras: the sizes that images are resized to.
        capacity: number of frames that may wait.
        logger: for errors at the end, when no caller waits.
        patience: longest time without progress [s].
    """

    def __init__(
        self,
        make_sink: Callable[[], EpisodeSink],
        *,
        cameras: tuple[Camera, ...],
        capacity: int,
        logger: RcutilsLogger,
        patience: float = PATIENCE,
    ) -> None:
        self._cameras, self._capacity, self._logger, self._patience = cameras, capacity, logger, patience
        self._queue: queue.SimpleQueue[_Job | tuple[EpisodeFrame, str] | None] = queue.SimpleQueue()
        self._closing = threading.Lock()  # so that nothing is queued behind the end
        self._is_closed = False
        self._unanswered: dict[_Step, _Job] = {}  # whose callers gave up
        self._finished = 0  # frames and jobs; shows whether the thread hangs
        self.failure: str | None = None
        self.sink = make_sink()
        try:
            self._recorder = FrameRecorder(self.sink, cameras, {})  # of the running episode
            # A daemon: a disk that hangs must not keep the process. `close` waits for a disk that works.
            self._thread = threading.Thread(target=self._run, name="episode_writer", daemon=True)
            self._thread.start()
        except BaseException:
            self.sink.finalize()  # nobody else would
            raise

    @property
    def frames(self) -> int:
        """Number of frames written in the running episode."""
        return self._recorder.frames

    @property
    def queued(self) -> int:
        """Number of frames that wait to be decoded, or whose images wait for an encoder."""
        return self._queue.qsize() + self.sink.queued_images

    @property
    def refused(self) -> Mapping[str, list[int]]:
        """By camera, the frames of the running episode whose image could not be used."""
        return self._recorder.refused

    @property
    def refusal(self) -> str:
        """What was wrong with the newest of these images; empty if there is none."""
        return self._recorder.refusal

    def begin(self, streams: Mapping[str, StreamBuffer[Any]] = MappingProxyType({})) -> None:
        """Begin an episode; wait until the sink is ready. Raises DatasetError.

        streams: of the cameras, by name; images that cannot be decoded are taken out of them.
        """
        late = self._unanswered.pop(_Step.BEGIN, None)
        self._unanswered = {} if late is None else {_Step.BEGIN: late}
        self._do(_Step.BEGIN, functools.partial(self._begin, streams))

    def put(self, frame: EpisodeFrame, task: str) -> bool:
        """Queue a frame without waiting. Returns False if the queue is full; the frame is then not taken."""
        if self._queue.qsize() >= self._capacity:
            return False
        self._queue.put((frame, task))
        return True

    def end(self) -> EndedEpisode:
        """Wait until all queued frames are written, and count them in the files.

        It may be called again. Raises DatasetError.
        """
        return self._do(_Step.END, self.sink.end_episode)

    def save(self, outcome: EpisodeOutcome) -> int:
        """Save the episode and return its index. From then on the episode survives a loss of power.

        Raises DatasetError if saving failed. The episode still exists; it can be saved again or discarded.
        """
        if self._was_done(_Step.DISCARD):
            raise DatasetError("the episode has been discarded by now, as was asked for first")
        return self._do(_Step.SAVE, functools.partial(self.sink.save_episode, outcome))

    def discard(self) -> None:
        """Discard the episode with all queued frames, and wait for it. Raises DatasetError."""
        if self._was_done(_Step.SAVE):
            raise DatasetError("the episode has been saved by now, as was asked for first")
        self._do(_Step.DISCARD, self.sink.discard_episode)

    def resolve_interrupted(self, keep: bool) -> int:
        """Keep or remove interrupted episodes; returns their number. Raises DatasetError."""
        return self._do(_Step.RECOVER, functools.partial(self.sink.resolve_interrupted, keep))

    def relabel(self, index: int, success: bool | None, task: str) -> None:
        """Change label and instruction of an episode in the dataset; see EpisodeSink. Raises DatasetError."""
        self._do(_Step.RELABEL, functools.partial(self.sink.relabel, index, success, task))

    def close(self) -> None:
        """Write everything that is queued, close the sink and end the thread. It may be called again.

        Raises DatasetError if the thread hangs. It then keeps the sink, and closes it if it ever goes on.
        """
        with self._closing:
            if not self._is_closed:
                self._is_closed = True
                self._queue.put(None)

        def ended(timeout: float) -> bool:
            self._thread.join(timeout)
            return not self._thread.is_alive()

        self._wait(_Step.CLOSE, ended)

    def _do(self, step: _Step, work: Callable[[], Any]) -> Any:
        """Let the thread do the work; return its result or raise its error."""
        job = self._unanswered.pop(step, None) or self._queued(_Job(work, Future()))
        try:
            self._wait(step, functools.partial(_is_done, job))
        except DatasetError:
            self._unanswered[step] = job
            raise
        return job.result.result()

    def _queued(self, job: _Job) -> _Job:
        with self._closing:
            if self._is_closed:
                raise DatasetError("the dataset is closed: configure the recorder again")
            self._queue.put(job)
        return job

    def _was_done(self, step: _Step) -> bool:
        """Whether a step has succeeded whose caller gave up. Waits for it. A failed one is forgotten."""
        if (job := self._unanswered.get(step)) is None:
            return False
        self._wait(step, functools.partial(_is_done, job))
        if job.result.exception() is None:
            return True
        del self._unanswered[step]
        return False

    def _wait(self, step: _Step, is_done_within: Callable[[float], bool]) -> None:
        """Wait while the thread makes progress. Raises DatasetError when it makes none."""
        progress = None
        while progress != (progress := (self._finished, self.sink.pending_commits)):
            if is_done_within(self._patience):
                return
        raise DatasetError(
            f"{step} has made no progress for {self._patience:g} s: the disk of the dataset hangs. Is it a "
            "network drive that is gone?"
        )

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, _Job):
                try:
                    item.result.set_result(item.work())
                except BaseException as error:  # noqa: BLE001 - the caller that waits gets it
                    item.result.set_exception(error)
            elif self.failure is None:
                self._add(*item)
            self._finished += 1
        try:
            self.sink.finalize()
        except DitPolicyError as error:
            self._logger.error(str(error))
        except Exception:  # noqa: BLE001 - the end of a thread that nobody would notice
            self._logger.error(f"unexpected error while closing the dataset:\n{traceback.format_exc()}")

    def _begin(self, streams: Mapping[str, StreamBuffer[Any]]) -> None:
        self.failure, self._recorder = None, FrameRecorder(self.sink, self._cameras, streams)
        self.sink.begin_episode()

    def _add(self, frame: EpisodeFrame, task: str) -> None:
        try:
            self._recorder.add(frame, task)
        except DitPolicyError as error:
            self.failure = str(error)
        except Exception:  # noqa: BLE001 - without this thread the node could not even stop
            self.failure = f"unexpected error:\n{traceback.format_exc()}"


def _is_done(job: _Job, timeout: float) -> bool:
    """Whether a job is done, at the latest after `timeout` [s]."""
    return bool(futures.wait([job.result], timeout).done)

# SPDX-License-Identifier: Apache-2.0
"""Decodes frames and hands them to an episode sink in a thread of its own, so that sampling never waits."""

import functools
import queue
import threading
import traceback
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.recording import EpisodeFrame
from dit_policy_ros.data.recording import CameraHealth, EpisodeOutcome, EpisodeSink
from dit_policy_ros.data.video import CameraImage
from dit_policy_ros.ros.common import image_to_rgb


@dataclass(frozen=True, slots=True)
class _Job:
    """Something to do between frames, and where its outcome goes."""

    work: Callable[[], Any]
    outcome: Future


class EpisodeWriter:
    """Owns the thread that calls a sink. `failure` says why the running episode takes no more frames, if so.

    Args:
        sink: where episodes go.
        cameras: sizes that images are brought to.
        capacity: frames that may wait.
        logger: for what nobody waits for.
    """

    def __init__(
        self, sink: EpisodeSink, cameras: tuple[Camera, ...], capacity: int, logger: RcutilsLogger
    ) -> None:
        self._sink = sink
        self._cameras = cameras
        self._logger = logger
        self._queue: queue.Queue[_Job | tuple[EpisodeFrame, str] | None] = queue.Queue(capacity)
        self.failure: str | None = None
        self.frames = 0  # handed to the sink in the running episode
        self._thread = threading.Thread(target=self._run, name="episode_writer")
        self._thread.start()

    def begin(self) -> None:
        """Prepares for an episode and waits for it. Raises DatasetError."""
        self._do(self._begin)

    def put(self, frame: EpisodeFrame, task: str) -> bool:
        """Queues a frame without waiting; False if the queue is full, and then it was not taken."""
        try:
            self._queue.put_nowait((frame, task))
        except queue.Full:
            return False
        return True

    def end(self) -> dict[str, CameraHealth]:
        """Waits until all frames queued so far are written; what became of the images, by camera.

        May be called again. Raises DatasetError.
        """
        return self._do(self._sink.end_episode)

    def save(self, label: EpisodeOutcome) -> int:
        """Keeps the episode and returns its index; when it returns, the episode survives a loss of power.

        Raises DatasetError if that failed; the episode is still there and can be saved again, or discarded.
        """
        return self._do(functools.partial(self._sink.save_episode, label))

    def discard(self) -> None:
        """Forgets the episode with all frames queued so far; waits for it. Raises DatasetError."""
        self._do(self._sink.discard_episode)

    def resolve_interrupted(self, keep: bool) -> int:
        """Keeps or removes what a crash interrupted; returns how many episodes. Raises DatasetError."""
        return self._do(functools.partial(self._sink.resolve_interrupted, keep))

    def close(self) -> None:
        """Closes the sink after all that is queued, and ends the thread. May be called again."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _do(self, work: Callable[[], Any]) -> Any:
        job = _Job(work, Future())
        self._queue.put(job)
        return job.outcome.result()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, _Job):
                try:
                    item.outcome.set_result(item.work())
                except BaseException as error:  # noqa: BLE001 - whoever waits for the outcome gets it
                    item.outcome.set_exception(error)
            elif self.failure is None:
                self._add(*item)
        try:
            self._sink.finalize()
        except DitPolicyError as error:
            self._logger.error(str(error))

    def _begin(self) -> None:
        self.failure, self.frames = None, 0
        self._sink.begin_episode()

    def _add(self, frame: EpisodeFrame, task: str) -> None:
        try:
            images = recorded_images(frame, self._cameras, self._sink.jpeg_cameras)
            self._sink.add_frame(images, frame.state, frame.action, task, frame.stamp_ns, frame.repeated)
            self.frames += 1
        except DitPolicyError as error:
            self.failure = str(error)
        except Exception:  # noqa: BLE001 - the thread must live on, or the node could not even stop
            self.failure = f"unexpected error:\n{traceback.format_exc()}"


def recorded_images(
    frame: EpisodeFrame, cameras: Sequence[Camera], jpeg_cameras: Collection[str]
) -> dict[str, CameraImage]:
    """A frame's images as a sink takes them, by camera: uint8 (h, w, 3) RGB, or the bytes of a JPEG.

    Raises StreamError for an image that cannot be used.
    """
    return {
        camera.name: bytes(frame.images[camera.name].data)
        if camera.name in jpeg_cameras
        else image_to_rgb(frame.images[camera.name], camera.height, camera.width)
        for camera in cameras
    }

# SPDX-License-Identifier: Apache-2.0
"""Decodes frames and writes them in a thread of its own, so that sampling never waits."""

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
    """Work for the thread between two frames, and the future of its result."""

    work: Callable[[], Any]
    result: Future


class EpisodeWriter:
    """Owns the thread that calls a sink. `failure` says why an episode takes no more frames.

    Args:
        sink: writes the episodes.
        cameras: the sizes that images are resized to.
        capacity: number of frames that may wait.
        logger: for errors at the end, when no caller waits.
    """

    def __init__(
        self, sink: EpisodeSink, *, cameras: tuple[Camera, ...], capacity: int, logger: RcutilsLogger
    ) -> None:
        self._sink = sink
        self._cameras = cameras
        self._logger = logger
        self._queue: queue.Queue[_Job | tuple[EpisodeFrame, str] | None] = queue.Queue(capacity)
        self.failure: str | None = None
        self.frames = 0  # written in the running episode
        self._thread = threading.Thread(target=self._run, name="episode_writer")
        self._thread.start()

    def begin(self) -> None:
        """Begin an episode; wait until the sink is ready. Raises DatasetError."""
        self._do(self._begin)

    def put(self, frame: EpisodeFrame, task: str) -> bool:
        """Queue a frame without waiting. Returns False if the queue is full; the frame is then not taken."""
        try:
            self._queue.put_nowait((frame, task))
        except queue.Full:
            return False
        return True

    def end(self) -> dict[str, CameraHealth]:
        """Wait until all queued frames are written. Returns the health of the images, by camera.

        It may be called again. Raises DatasetError.
        """
        return self._do(self._sink.end_episode)

    def save(self, outcome: EpisodeOutcome) -> int:
        """Save the episode and return its index. From then on the episode survives a loss of power.

        Raises DatasetError if saving failed. The episode still exists; it can be saved again or discarded.
        """
        return self._do(functools.partial(self._sink.save_episode, outcome))

    def discard(self) -> None:
        """Discard the episode with all queued frames, and wait for it. Raises DatasetError."""
        self._do(self._sink.discard_episode)

    def resolve_interrupted(self, keep: bool) -> int:
        """Keep or remove interrupted episodes; returns their number. Raises DatasetError."""
        return self._do(functools.partial(self._sink.resolve_interrupted, keep))

    def close(self) -> None:
        """Write everything that is queued, close the sink and end the thread. It may be called again."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _do(self, work: Callable[[], Any]) -> Any:
        job = _Job(work, Future())
        self._queue.put(job)
        return job.result.result()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, _Job):
                try:
                    item.result.set_result(item.work())
                except BaseException as error:  # noqa: BLE001 - the caller that waits gets it
                    item.result.set_exception(error)
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
        except Exception:  # noqa: BLE001 - without this thread the node could not even stop
            self.failure = f"unexpected error:\n{traceback.format_exc()}"


def recorded_images(
    frame: EpisodeFrame, cameras: Sequence[Camera], jpeg_cameras: Collection[str]
) -> dict[str, CameraImage]:
    """A frame's images for a sink, by camera: uint8 (h, w, 3) RGB, or the bytes of a JPEG.

    Raises StreamError for an image that cannot be decoded.
    """
    return {
        camera.name: bytes(frame.images[camera.name].data)
        if camera.name in jpeg_cameras
        else image_to_rgb(frame.images[camera.name], camera.height, camera.width)
        for camera in cameras
    }

# SPDX-License-Identifier: Apache-2.0
"""Encodes one camera's images into a file while recording: a video, or the TIFF images of a depth camera.

A video is Matroska with short clusters, each handed to the operating system as soon as it is encoded. If the
process is killed, all images but those of the last 0.1 s can be read. Encoders use no B-frames and no
look-ahead, so packet i is frame i.
"""

import os
import queue
import threading
import time
from pathlib import Path
from typing import Any

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.video._depth_images import DepthTrack
from dit_policy_ros.data.video._depth_summary import Summary, new_summary
from dit_policy_ros.data.video._settings import VideoSettings
from dit_policy_ros.data.video._track import CameraImage, open_track

QUEUE_SIZE = 30  # images of one camera that can wait for the encoder
# Matroska writes packets in clusters; a killed process loses the packets of the last cluster.
_CONTAINER = {"flush_packets": "1", "cluster_time_limit": "100"}  # [ms]
SYNC_INTERVAL = 1.0  # [s] between syncs to the disk; a loss of power loses at most this much
_POLL = 0.1  # [s] how often a caller that waits for the queue checks that the encoder still runs


class CameraEncoder:
    """Encodes one camera's images in its own thread. No image is dropped: `put` waits or raises.

    summary: of the images encoded so far. waits: images that had to wait because the queue was full.
    failure: why encoding stopped, if it did.

    Args:
        path: the file to write; it must not exist.
        camera: name and image size.
        fps: frames per second [Hz].
        settings: how to encode; the codec must work (`VideoSettings.with_working_codec`).
    """

    def __init__(self, path: Path, camera: Camera, fps: int, settings: VideoSettings) -> None:
        self.path = path
        self.summary: Summary = new_summary(camera.depth_unit)
        self.waits = 0
        self.failure: str | None = None
        self._camera = camera
        self._fps = fps
        self._settings = settings
        self._queue: queue.Queue[tuple[CameraImage, bool] | None] = queue.Queue(QUEUE_SIZE)
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"encoder_{camera.name}", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Number of images that wait to be encoded."""
        return self._queue.qsize()

    def put(self, image: CameraImage, fresh: bool) -> None:
        """Queues a copy of an image; waits while the queue is full.

        fresh: false if the image is known to repeat the previous one. Raises DatasetError if the encoder has
        failed.
        """
        item = (image if isinstance(image, bytes) else image.copy(), fresh)
        if self._queue.full():
            self.waits += 1
        while self.failure is None:
            try:
                self._queue.put(item, timeout=_POLL)
            except queue.Full:
                continue
            return
        raise DatasetError(f"camera {self._camera.name}: {self.failure}")

    def finish(self) -> None:
        """Encodes the queued images and closes the file. Errors are in `failure`. May be called again."""
        self._end()

    def cancel(self) -> None:
        """Stops without encoding the queued images; the file is unusable. May be called again."""
        self._cancelled.set()
        self._end()

    def _end(self) -> None:
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=_POLL)
            except queue.Full:
                continue
            self._thread.join()

    def _run(self) -> None:
        import av

        try:
            if self._camera.is_depth:
                with self.path.open("xb") as file:
                    self._encode(DepthTrack(file))
                return
            with av.open(str(self.path), "w", format="matroska", options=_CONTAINER) as container:
                self._encode(open_track(container, self._camera, self._fps, self._settings))
        except DatasetError as error:
            self.failure = str(error)
        except Exception as error:  # noqa: BLE001 - the recording must learn of any error that FFmpeg raises
            self.failure = f"encoding into {self.path} failed: {error!r}"

    def _encode(self, track: Any) -> None:
        synced = time.monotonic()
        while (item := self._queue.get()) is not None and not self._cancelled.is_set():
            image, fresh = item
            self.summary.add(track.add(image), fresh)
            if time.monotonic() - synced >= SYNC_INTERVAL:
                handle = os.open(self.path, os.O_RDONLY)
                try:
                    os.fdatasync(handle)
                finally:
                    os.close(handle)
                synced = time.monotonic()
        if not self._cancelled.is_set():
            track.flush()

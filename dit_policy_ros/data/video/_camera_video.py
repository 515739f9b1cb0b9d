# SPDX-License-Identifier: Apache-2.0
"""One camera's images into a video file while they come, and the file into what a dataset holds.

The file that is written to is Matroska in small pieces, which reach the operating system as they are encoded:
whatever ends the process, all images but the last tenth of a second can be read. Encoders look at no later
frame than the newest (no B-frames, no look-ahead), so packet i is frame i. The dataset's file is MP4 with the
same packets.
"""

import os
import queue
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.video._image_summary import ImageSummary
from dit_policy_ros.data.video._settings import VideoSettings
from dit_policy_ros.data.video._track import JPEG, JPEG_FORMAT, CameraImage, open_track

QUEUE = 30  # images of one camera that wait for the encoder at most
# Matroska writes packets in clusters; what is in the last one is lost when the process is killed.
_CONTAINER = {"flush_packets": "1", "cluster_time_limit": "100"}  # [ms]
SYNC_INTERVAL = 1.0  # [s] of recording that a loss of power may cost
_POLL = 0.1  # [s] how often a caller that waits for room looks whether the encoder still lives


class CameraEncoder:
    """Encodes one camera's images in a thread of its own; takes every image or raises.

    Args:
        path: of the file, which must not exist.
        camera: name and size.
        fps: frames per second [Hz].
        settings: how; its codec is known to work.
    """

    def __init__(self, path: Path, camera: Camera, fps: int, settings: VideoSettings) -> None:
        self.path = path
        self.summary = ImageSummary()
        self.waits = 0  # images for which there was no room at once
        self.failure: str | None = None
        self._camera = camera
        self._fps = fps
        self._settings = settings
        self._queue: queue.Queue[tuple[CameraImage, bool] | None] = queue.Queue(QUEUE)
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"encoder_{camera.name}", daemon=True)
        self._thread.start()

    def put(self, image: CameraImage, fresh: bool) -> None:
        """Queues a copy of an image; waits while the queue is full.

        fresh: false where it is known to repeat the one before. Raises DatasetError if the encoder has
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
        """Encodes what is queued and closes the file; `failure` tells if that went wrong.

        May be called again.
        """
        self._end()

    def cancel(self) -> None:
        """Ends at once; the file is of no use afterwards. May be called again."""
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
            with av.open(str(self.path), "w", format="matroska", options=_CONTAINER) as container:
                self._encode(container)
        except DatasetError as error:
            self.failure = str(error)
        except Exception as error:  # noqa: BLE001 - whatever FFmpeg raises, the recording must learn of it
            self.failure = f"encoding into {self.path} failed: {error!r}"

    def _encode(self, container: Any) -> None:
        track = open_track(container, self._camera, self._fps, self._settings)
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


def count_frames(path: Path) -> int:
    """Whole frames in a file of CameraEncoder, whatever became of its end."""
    return sum(1 for _ in _packets(path))


def decode(path: Path, frames: int) -> Iterator[NDArray[np.uint8]]:
    """The first `frames` images of a file of CameraEncoder, (h, w, 3) RGB."""
    import av

    with _opened(path) as source:
        decoder = av.CodecContext.create(source.streams.video[0].codec.name, "r")
        decoder.extradata = source.streams.video[0].codec_context.extradata
        left = frames
        for packet in _intact(source):
            for frame in decoder.decode(packet):
                yield np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
                left -= 1
                if left == 0:
                    return


def remux(source: Path, target: Path, frames: int, fps: int) -> None:
    """Writes the first `frames` frames of a file of CameraEncoder as MP4, without encoding them again.

    Raises DatasetError if there are fewer.
    """
    import av

    with _opened(source) as incoming, av.open(str(target), "w", format="mp4") as outgoing:
        stream = outgoing.add_stream_from_template(incoming.streams.video[0])
        if stream.codec_context.name == JPEG:
            stream.codec_context.pix_fmt = JPEG_FORMAT  # PyAV opens an encoder, which knows no grey images
        time_base = Fraction(1, fps)
        stream.time_base = time_base
        number = 0
        for packet in _intact(incoming):
            packet.stream = stream
            packet.pts = packet.dts = number
            packet.duration, packet.time_base = 1, time_base
            outgoing.mux(packet)
            number += 1
            if number == frames:
                return
    raise DatasetError(f"{source} holds {number} frames, {frames} were expected")


def _opened(path: Path) -> Any:
    import av
    import av.error

    try:
        return av.open(str(path), format="matroska")
    except av.error.FFmpegError as error:
        raise DatasetError(f"{path} cannot be read: {error!r}") from error


def _packets(path: Path) -> Iterator[Any]:
    try:
        source = _opened(path)
    except DatasetError:
        return  # the process ended before the first packet
    with source:
        if source.streams.video:
            yield from _intact(source)


def _intact(source: Any) -> Iterator[Any]:
    """Packets up to where the file breaks off."""
    import av.error

    try:
        for packet in source.demux(video=0):
            if not packet.size or packet.is_corrupt:
                return
            yield packet
    except av.error.FFmpegError:
        return

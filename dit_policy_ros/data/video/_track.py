# SPDX-License-Identifier: Apache-2.0
"""Two ways from a camera's images to the packets of a video: encoding them, or keeping the camera's own JPEG.

A camera's JPEG images become a Motion JPEG stream byte for byte: nothing is encoded, and no second loss is
added to the camera's. Each one is decoded once, by the decoder that will read the dataset, so that none gets
in that could not be read back, and so that statistics and verdict are of what training will see.
"""

from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.video._settings import VideoSettings

JPEG = "mjpeg"  # FFmpeg's name of the codec
JPEG_FORMAT = "yuvj420p"  # what FFmpeg is told; each image says itself how its colours are stored

type CameraImage = NDArray[np.uint8] | bytes  # (h, w, 3) RGB, or a JPEG as the camera sent it


class VideoTrack(Protocol):
    """The images of one camera in a container."""

    def add(self, image: Any) -> NDArray[np.uint8]:
        """Writes an image; returns it as (h, w, 3) RGB. Raises DatasetError if it cannot be used."""
        ...

    def flush(self) -> None:
        """Writes what is held back; no image comes after it."""
        ...


def open_track(container: Any, camera: Camera, fps: int, settings: VideoSettings) -> VideoTrack:
    """The track that a camera's images need, in a container that is open for writing."""
    if settings.keeps_jpeg(camera):
        return JpegTrack(container, camera, fps)
    return EncodedTrack(container, camera, fps, settings)


class EncodedTrack:
    """Encodes arrays (h, w, 3) RGB."""

    def __init__(self, container: Any, camera: Camera, fps: int, settings: VideoSettings) -> None:
        self._container = container
        self._period = Fraction(1, fps)  # [s]; the container changes its own time base later
        self._number = 0
        self._stream = container.add_stream(settings.codec, fps, options=settings.options())
        self._stream.pix_fmt = "yuv420p"
        self._stream.height, self._stream.width = camera.height, camera.width
        self._stream.time_base = self._period

    def add(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See VideoTrack."""
        import av

        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = self._number, self._period
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
        self._number += 1
        return image

    def flush(self) -> None:
        """See VideoTrack."""
        for packet in self._stream.encode(None):
            self._container.mux(packet)


class JpegTrack:
    """Keeps JPEG images as they are."""

    def __init__(self, container: Any, camera: Camera, fps: int) -> None:
        import av

        self._container, self._camera = container, camera
        self._period = Fraction(1, fps)  # [s]
        self._number = 0
        self._stream = container.add_stream(JPEG, fps)
        self._stream.pix_fmt = JPEG_FORMAT
        self._stream.height, self._stream.width = camera.height, camera.width
        self._stream.time_base = self._period
        self._decoder: Any = av.CodecContext.create(JPEG, "r")
        self._decoder.thread_count = 1  # with more, an image would come out after the next one went in

    def add(self, image: bytes) -> NDArray[np.uint8]:
        """See VideoTrack."""
        import av

        pixels = self._decoded(image)  # (h, w, 3)
        packet = av.Packet(image)
        packet.stream = self._stream
        packet.pts = packet.dts = self._number
        packet.duration, packet.time_base, packet.is_keyframe = 1, self._period, True
        self._container.mux(packet)
        self._number += 1
        return pixels

    def flush(self) -> None:
        """See VideoTrack: nothing is held back."""

    def _decoded(self, image: bytes) -> NDArray[np.uint8]:
        import av
        import av.error

        camera = self._camera
        remedy = "or switch video.keep_jpeg off"
        try:
            frames = self._decoder.decode(av.Packet(image))
        except av.error.FFmpegError:
            frames = []
        if len(frames) != 1:
            raise DatasetError(
                f"image {self._number} ({len(image)} bytes) is not a whole JPEG, and video.keep_jpeg "
                f"keeps nothing else; have the camera send JPEG, {remedy}"
            )
        (frame,) = frames
        if (frame.height, frame.width) != (camera.height, camera.width):
            raise DatasetError(
                f"image {self._number} is {frame.width}x{frame.height}, expected "
                f"{camera.width}x{camera.height} (width x height): video.keep_jpeg keeps images as they are. "
                f"Set height and width in the contract to what the camera sends, {remedy}"
            )
        return np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)

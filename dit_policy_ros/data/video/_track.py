# SPDX-License-Identifier: Apache-2.0
"""Turns a camera's images into the packets of a video: encodes arrays, or keeps the camera's own JPEG.

A camera's JPEG images become a Motion JPEG stream byte for byte: nothing is encoded again, so no more quality
is lost. Each image is decoded once, by the decoder that will read the dataset. So no image is stored that
cannot be read back, and statistics and check use the pixels that training will see.
"""

import contextlib
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.video._scheduling import ordinary_scheduling
from dit_policy_ros.data.video._settings import VideoSettings

JPEG = "mjpeg"  # FFmpeg's name of the codec
JPEG_FORMAT = "yuvj420p"  # what we declare to FFmpeg; the header of each image has the real pixel format

# (h, w, 3) RGB; or the bytes of a JPEG; or of a depth camera (h, w, 1), uint16 [mm] or float32 [m]
type CameraImage = NDArray[np.uint8] | bytes | NDArray[np.uint16] | NDArray[np.float32]


class DecodedJpeg(bytes):
    """The bytes of a JPEG that has been decoded already. pixels: uint8 (h, w, 3) RGB."""

    pixels: NDArray[np.uint8]


class VideoTrack(Protocol):
    """The video stream of one camera in a container."""

    def add(self, image: Any) -> NDArray[np.uint8]:
        """Writes an image; returns it as (h, w, 3) RGB. Raises DatasetError if it cannot be used."""
        ...

    def flush(self) -> None:
        """Writes the images that the encoder still holds; call it after the last image."""
        ...


def open_track(container: Any, camera: Camera, fps: int, settings: VideoSettings) -> VideoTrack:
    """Adds a track for a camera's images to a container that is open for writing."""
    if settings.keeps_jpeg(camera):
        return JpegTrack(container, camera, fps)
    return EncodedTrack(container, camera, fps, settings)


class EncodedTrack:
    """Encodes arrays (h, w, 3) RGB."""

    def __init__(self, container: Any, camera: Camera, fps: int, settings: VideoSettings) -> None:
        self._container = container
        self._period = Fraction(1, fps)  # [s]; the container changes its stream's time base later
        self._number = 0
        self._stream = container.add_stream(settings.codec, fps, options=settings.ffmpeg_options())
        self._stream.pix_fmt = "yuv420p"
        self._stream.height, self._stream.width = camera.height, camera.width
        self._stream.time_base = self._period

    def add(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See VideoTrack."""
        import av

        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = self._number, self._period
        # The first image opens the encoder, which starts its threads.
        with contextlib.nullcontext() if self._number else ordinary_scheduling():
            packets = self._stream.encode(frame)
        for packet in packets:
            self._container.mux(packet)
        self._number += 1
        return image

    def flush(self) -> None:
        """See VideoTrack."""
        for packet in self._stream.encode(None):
            self._container.mux(packet)


class JpegTrack:
    """Stores JPEG images byte for byte."""

    def __init__(self, container: Any, camera: Camera, fps: int) -> None:
        self._container = container
        self._period = Fraction(1, fps)  # [s]
        self._number = 0
        self._stream = container.add_stream(JPEG, fps)
        self._stream.pix_fmt = JPEG_FORMAT
        self._stream.height, self._stream.width = camera.height, camera.width
        self._stream.time_base = self._period
        self._decode = JpegDecoder(camera)

    def add(self, image: bytes) -> NDArray[np.uint8]:
        """See VideoTrack."""
        import av

        if not isinstance(image, DecodedJpeg):
            image = self._decode(image, f"image {self._number}")
        packet = av.Packet(image)
        packet.stream = self._stream
        packet.pts = packet.dts = self._number
        packet.duration, packet.time_base, packet.is_keyframe = 1, self._period, True
        self._container.mux(packet)
        self._number += 1
        return image.pixels

    def flush(self) -> None:
        """See VideoTrack. Nothing to do: `add` writes each image at once."""


class JpegDecoder:
    """Decodes the JPEG images of a camera as the reader of the dataset will. Not thread-safe."""

    def __init__(self, camera: Camera) -> None:
        import av

        self._camera = camera
        self._decoder: Any = av.CodecContext.create(JPEG, "r")
        self._decoder.thread_count = 1  # more threads return an image only after the next one went in
        self._decoder.options = {"err_detect": "explode"}  # by default a cut image is filled up with grey

    def __call__(self, image: bytes, what: str = "the image") -> DecodedJpeg:
        """The image with its pixels. Raises DatasetError, which calls it `what`, if it cannot be used."""
        import av
        import av.error

        camera, remedy = self._camera, "or set video.keep_jpeg to false"
        try:
            frames = self._decoder.decode(av.Packet(image)) if image else []
        except av.error.FFmpegError:
            frames = []
        if len(frames) != 1:
            raise DatasetError(
                f"{what} ({len(image)} bytes) is not a complete JPEG, and video.keep_jpeg accepts nothing "
                f"else; make the camera send JPEG, {remedy}"
            )
        (frame,) = frames
        if (frame.height, frame.width) != (camera.height, camera.width):
            raise DatasetError(
                f"{what} is {frame.width}x{frame.height}, expected {camera.width}x{camera.height} (width x "
                "height): video.keep_jpeg does not resize. Set height and width in the contract to the size "
                f"that the camera sends, {remedy}"
            )
        decoded = DecodedJpeg(image)
        decoded.pixels = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
        return decoded

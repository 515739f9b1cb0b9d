# SPDX-License-Identifier: Apache-2.0
"""Decodes the images of an episode's frames, and hands the frames to a sink.

One image that cannot be decoded does not end an episode: the one before takes its place, the frame is flagged
as a repetition, and the image is counted and taken out of its stream. If the next ones are bad as well, the
stream refuses them when they arrive, and the sampler repeats the last good one or ends the episode.
"""

from collections.abc import Collection, Mapping
from typing import Any

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError, StreamError
from dit_policy_ros.core.recording import EpisodeFrame
from dit_policy_ros.core.sensing import StreamBuffer
from dit_policy_ros.data.recording import EpisodeSink
from dit_policy_ros.data.video import CameraImage, JpegDecoder
from dit_policy_ros.ros.images import read_camera_image


class ImageReader:
    """Turns image messages into what a sink takes. Not thread-safe.

    Args:
        cameras: of the contract; images are resized to their sizes.
        jpeg_cameras: names of those whose JPEG images are kept as they are.
    """

    def __init__(self, cameras: Collection[Camera], jpeg_cameras: Collection[str]) -> None:
        self._cameras = {camera.name: camera for camera in cameras}
        self._decoders = {name: JpegDecoder(self._cameras[name]) for name in jpeg_cameras}

    def __call__(self, name: str, message: Any) -> CameraImage:
        """A camera's image as EpisodeSink takes it. Raises StreamError."""
        decoder, camera = self._decoders.get(name), self._cameras[name]
        if decoder is None:
            return read_camera_image(message, camera)
        try:
            return decoder(bytes(message.data))
        except DatasetError as error:
            raise StreamError(str(error)) from error


class FrameRecorder:
    """Adds the frames of one episode to a sink.

    Args:
        sink: takes the frames.
        cameras: of the contract.
        streams: of the cameras, by name; images that cannot be decoded are taken out of them.

    Attributes:
        frames: added so far.
        refused: by camera, the numbers of the frames whose image could not be used.
        refusal: what is wrong with the newest of these images, with its camera; empty if there is none.
    """

    def __init__(
        self, sink: EpisodeSink, cameras: Collection[Camera], streams: Mapping[str, StreamBuffer[Any]]
    ) -> None:
        self.frames = 0
        self.refused: dict[str, list[int]] = {}
        self.refusal = ""
        self._sink, self._streams = sink, streams
        self._cameras = [camera.name for camera in cameras]
        self._read = ImageReader(cameras, sink.jpeg_cameras)
        self._messages: dict[str, Any] = {}  # of the frame before, by camera
        self._images: dict[str, CameraImage] = {}  # the last good ones

    def add(self, frame: EpisodeFrame, task: str) -> None:
        """Adds a frame.

        Raises:
            StreamError: no image of a camera can be used so far.
            DatasetError: the sink cannot take the frame.
        """
        repeated = list(frame.repeated)
        for name in self._cameras:
            if not self._is_usable(name, frame.images[name]):
                self.refused.setdefault(name, []).append(self.frames)
                if name not in repeated:
                    repeated.append(name)
        images = {name: self._images[name] for name in self._cameras}
        who = {} if frame.control is None else {"controller": frame.control.controller}
        self._sink.add_frame(
            images, frame.state, frame.action, task, frame.stamp_ns, tuple(repeated), frame.vectors, **who
        )
        self.frames += 1

    def _is_usable(self, name: str, message: Any) -> bool:
        """Whether the camera's image is a good one; if not, its last good one stays."""
        if message is self._messages.get(name):
            return True  # the sampler repeats it, and has said so
        self._messages[name] = message
        try:
            self._images[name] = self._read(name, message)
        except StreamError as error:
            self._refuse(name, message, error)
            return False
        return True

    def _refuse(self, name: str, message: Any, error: StreamError) -> None:
        self.refusal = f"{name}: {error}"
        stream = self._streams.get(name)
        if stream is not None:
            stream.discard(message, str(error))
        while name not in self._images:  # at the beginning: the nearest good one
            sample = None if stream is None else stream.newest()
            if stream is None or sample is None:
                raise error
            try:
                self._images[name] = self._read(name, sample.value)
            except StreamError as worse:
                stream.discard(sample.value, str(worse))

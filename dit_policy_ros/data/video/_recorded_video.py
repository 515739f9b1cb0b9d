# SPDX-License-Identifier: Apache-2.0
"""Reads the video files that CameraEncoder writes, even if they break off, and converts them to MP4."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.video._track import JPEG, JPEG_FORMAT


def count_frames(path: Path) -> int:
    """Number of complete frames in a file of CameraEncoder; 0 if it cannot be opened."""
    try:
        source = _open(path)
    except DatasetError:
        return 0  # the process ended before it wrote the first packet
    with source:
        return sum(1 for _ in _complete_packets(source)) if source.streams.video else 0


def decode_frames(path: Path, count: int) -> Iterator[NDArray[np.uint8]]:
    """The first `count` images of a file of CameraEncoder, (h, w, 3) RGB."""
    import av

    with _open(path) as source:
        decoder = av.CodecContext.create(source.streams.video[0].codec.name, "r")
        decoder.extradata = source.streams.video[0].codec_context.extradata
        remaining = count
        for packet in _complete_packets(source):
            for frame in decoder.decode(packet):
                yield np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
                remaining -= 1
                if remaining == 0:
                    return


def remux_to_mp4(source: Path, target: Path, count: int, fps: int) -> None:
    """Copies the first `count` frames of a file of CameraEncoder into an MP4 file, without encoding again.

    fps: frames per second [Hz]. Raises DatasetError if there are fewer frames.
    """
    import av

    with _open(source) as incoming, av.open(str(target), "w", format="mp4") as outgoing:
        stream = outgoing.add_stream_from_template(incoming.streams.video[0])
        if stream.codec_context.name == JPEG:
            # PyAV opens an encoder, which does not support the format of grey images.
            stream.codec_context.pix_fmt = JPEG_FORMAT
        time_base = Fraction(1, fps)
        stream.time_base = time_base
        number = 0
        for packet in _complete_packets(incoming):
            packet.stream = stream
            packet.pts = packet.dts = number
            packet.duration, packet.time_base = 1, time_base
            outgoing.mux(packet)
            number += 1
            if number == count:
                return
    raise DatasetError(f"{source}: expected {count} frames, got {number}")


def _open(path: Path) -> Any:
    import av
    import av.error

    try:
        return av.open(str(path), format="matroska")
    except av.error.FFmpegError as error:
        raise DatasetError(f"{path} cannot be read: {error!r}") from error


def _complete_packets(source: Any) -> Iterator[Any]:
    """The packets up to the point where the file breaks off."""
    import av.error

    try:
        for packet in source.demux(video=0):
            if not packet.size or packet.is_corrupt:
                return
            yield packet
    except av.error.FFmpegError:
        return

# SPDX-License-Identifier: Apache-2.0
"""Writes camera images with a two-line caption into an MP4 file."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

VIDEO_FPS = 15
SIZE = (640, 480)  # of the picture: width, height [pixel]
CAPTION_HEIGHT = 64  # of the bar below the picture [pixel]
GREEN, WHITE = (120, 230, 120), (245, 245, 245)


class CaptionedVideo:
    """An MP4 file that is written frame by frame; the frames' stamps give the timing."""

    def __init__(self, path: Path) -> None:
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream(
            "libx264", rate=VIDEO_FPS, options={"preset": "veryfast", "crf": "26"}
        )
        self._stream.width, self._stream.height = SIZE[0], SIZE[1] + CAPTION_HEIGHT
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = Fraction(1, VIDEO_FPS)
        self._first_ns: int | None = None
        self._last_tick = -1
        self.frames = 0

    def add(self, stamp_ns: int, image: NDArray[np.uint8], caption: tuple[str, str], is_done: bool) -> None:
        """Add a frame; ignored if the video already has one at that tick of ``VIDEO_FPS``.

        Args:
            stamp_ns: of the image.
            image: uint8 (H, W, 3) RGB.
            caption: two lines.
            is_done: draw the caption in green.
        """
        self._first_ns = stamp_ns if self._first_ns is None else self._first_ns
        tick = round((stamp_ns - self._first_ns) * 1e-9 * VIDEO_FPS)
        if tick <= self._last_tick:
            return
        self._last_tick = tick
        frame = av.VideoFrame.from_ndarray(_draw(image, caption, GREEN if is_done else WHITE), format="rgb24")
        frame.pts, frame.time_base = tick, Fraction(1, VIDEO_FPS)
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def close(self) -> None:
        """Finish the file; a video that was not closed cannot be played."""
        self._container.mux(self._stream.encode())
        self._container.close()


def _draw(
    image: NDArray[np.uint8], caption: tuple[str, str], colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    canvas = np.zeros((SIZE[1] + CAPTION_HEIGHT, SIZE[0], 3), dtype=np.uint8)  # (H, W, 3)
    canvas[: SIZE[1]] = cv2.resize(image, SIZE, interpolation=cv2.INTER_LINEAR)
    for row, (text, scale) in enumerate(zip(caption, (0.62, 0.5), strict=True)):
        position = (12, SIZE[1] + 26 + 26 * row)
        cv2.putText(canvas, text, position, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
    return canvas

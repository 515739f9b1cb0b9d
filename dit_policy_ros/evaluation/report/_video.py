# SPDX-License-Identifier: Apache-2.0
"""Writes the demo's video: the top camera, enlarged, with the instruction and how far it is underneath."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

FPS = 15
SIZE = (640, 480)  # of the picture: width, height [pixel]
CAPTION = 64  # height of the bar below it [pixel]
DONE, UNDERWAY = (120, 230, 120), (245, 245, 245)


class DemoVideo:
    """An MP4 that grows while the demo runs; frames keep their time by their stamps."""

    def __init__(self, path: Path) -> None:
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream(
            "libx264", rate=FPS, options={"preset": "veryfast", "crf": "26"}
        )
        self._stream.width, self._stream.height = SIZE[0], SIZE[1] + CAPTION
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = Fraction(1, FPS)
        self._first_ns: int | None = None
        self._last_tick = -1
        self.frames = 0

    def add(self, stamp_ns: int, image: NDArray[np.uint8], lines: tuple[str, str], done: bool) -> None:
        """Adds a frame unless the tick of the video already has one.

        Args:
            stamp_ns: of the image.
            image: uint8 (H, W, 3) RGB.
            lines: the two lines of the caption.
            done: draws the caption in green.
        """
        self._first_ns = stamp_ns if self._first_ns is None else self._first_ns
        tick = round((stamp_ns - self._first_ns) * 1e-9 * FPS)
        if tick <= self._last_tick:
            return
        self._last_tick = tick
        frame = av.VideoFrame.from_ndarray(self._draw(image, lines, done), format="rgb24")
        frame.pts, frame.time_base = tick, Fraction(1, FPS)
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def close(self) -> None:
        """Finishes the file; without it the video cannot be played."""
        self._container.mux(self._stream.encode())
        self._container.close()

    @staticmethod
    def _draw(image: NDArray[np.uint8], lines: tuple[str, str], done: bool) -> NDArray[np.uint8]:
        canvas = np.zeros((SIZE[1] + CAPTION, SIZE[0], 3), dtype=np.uint8)  # (H, W, 3)
        canvas[: SIZE[1]] = cv2.resize(image, SIZE, interpolation=cv2.INTER_LINEAR)
        for row, (text, scale) in enumerate(zip(lines, (0.62, 0.5), strict=True)):
            position = (12, SIZE[1] + 26 + 26 * row)
            color = DONE if done else UNDERWAY
            cv2.putText(canvas, text, position, cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)
        return canvas

# SPDX-License-Identifier: Apache-2.0
"""A recording of Rerun: a file, or a viewer that is started now."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DitPolicyError

TIMELINE = "time"
_QUALITY = 85  # of the JPEG of an image


class Recording:
    """What is shown, over one time line that begins at 0.

    Args:
        rerun: the module.
        stream: a recording stream of it.
    """

    def __init__(self, rerun: Any, stream: Any) -> None:
        self._rerun, self._stream = rerun, stream

    def curve(self, entity: str, seconds: NDArray[np.float64], values: NDArray[np.float64]) -> None:
        """A value (N,) over time (N,) [s]."""
        if len(seconds):
            times = self._rerun.TimeColumn(TIMELINE, duration=seconds)
            self._stream.send_columns(entity, [times], self._rerun.Scalars.columns(scalars=values))

    def image(self, entity: str, seconds: float, image: NDArray[np.uint8]) -> None:
        """An image (H, W, 3) RGB at a time [s]."""
        self._stream.set_time(TIMELINE, duration=seconds)
        self._stream.log(entity, self._rerun.Image(image).compress(jpeg_quality=_QUALITY))

    def depth(self, entity: str, seconds: float, image: NDArray[np.float32], unit: str) -> None:
        """Distances (H, W) in "mm" or "m" at a time [s]."""
        self._stream.set_time(TIMELINE, duration=seconds)
        self._stream.log(entity, self._rerun.DepthImage(image, meter=1000.0 if unit == "mm" else 1.0))

    def text(self, entity: str, seconds: float, text: str) -> None:
        """A line of the log at a time [s]."""
        self._stream.set_time(TIMELINE, duration=seconds)
        self._stream.log(entity, self._rerun.TextLog(text))

    def document(self, entity: str, text: str) -> None:
        """A text in Markdown that holds for all times."""
        document = self._rerun.TextDocument(text, media_type="text/markdown")
        self._stream.log(entity, document, static=True)

    def close(self) -> None:
        """Write what is still in memory."""
        self._stream.flush()


def open_recording(name: str, output: Path | None) -> Recording:
    """Begin a recording.

    Args:
        name: what it shows.
        output: file to write (.rrd); None starts the viewer.

    Raises:
        DitPolicyError: Rerun is not installed, the file cannot be written, or the viewer does not start.
    """
    try:
        import rerun  # pyright: ignore[reportMissingImports]  # optional
    except ImportError as error:
        raise DitPolicyError(
            f'the package rerun cannot be imported ({error}). Run `pip install ".[view]" '
            "-c constraints/python3.12.txt` in the checkout"
        ) from error
    stream = rerun.RecordingStream("dit_policy", recording_id=None)
    stream.send_recording_name(name)
    try:
        if output is None:
            stream.spawn()
        else:
            stream.save(str(output))
    except (OSError, RuntimeError) as error:
        what = "the viewer does not start" if output is None else f"{output} cannot be written"
        raise DitPolicyError(f"{what}: {error}") from error
    return Recording(rerun, stream)

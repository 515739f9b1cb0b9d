# SPDX-License-Identifier: Apache-2.0
"""Reads single frames of video files in any order, by their times.

The frames are those that decoding the whole file in order gives, bit for bit. LeRobot's functions open
the file again for each call and convert every frame since the last key frame (PyAV), or choose frames by
counting (torchcodec), so that one lost frame shifts the others.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.description import hub_snapshot
from dit_policy_ros.data.video._hub_files import open_video

_OPEN_FILES = 16  # of a process; each holds a decoder of some megabytes
_GO_ON = 8  # frames: decoding this far is cheaper than seeking

type TimedFrame = tuple[float, Any]  # time [s] and frame; (nan, None) if there is none

_NOTHING: TimedFrame = (np.nan, None)


class VideoFiles:
    """Video files that stay open as long as they are among those used last."""

    def __init__(self, root: Path, period: float) -> None:
        """``root``: the dataset's folder. ``period``: the duration of a frame [s]."""
        self._root, self._period = root, period
        self._open: OrderedDict[Path, _VideoFile] = OrderedDict()
        self._process = os.getpid()

    def nearest(self, path: Path, times: Sequence[float]) -> list[TimedFrame]:
        """The frame nearest to each of the increasing times [s] of a file of the dataset.

        Raises DatasetError if the file cannot be decoded, or not be read from the hub.
        """
        import av.error
        import httpx

        if os.getpid() != self._process:  # a forked process would share the places in its parent's files
            self._open, self._process = OrderedDict(), os.getpid()
        try:
            file = self._open.pop(path, None) or _VideoFile(self._root, path, self._period)
            self._open[path] = file
            if len(self._open) > _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            return [file.nearest(time) for time in times]
        except (av.error.FFmpegError, OSError, IndexError, ValueError, httpx.HTTPError) as error:
            if (broken := self._open.pop(path, None)) is not None:
                broken.close()
            if (source := hub_snapshot(self._root)) is not None and not (self._root / path).is_file():
                raise DatasetError(
                    f"dataset {source.repository}: {path} cannot be read from the hub: {error!r}. When the "
                    f"connection is back, continue the run with --resume"
                ) from error
            raise DatasetError(
                f"{self._root / path} cannot be decoded: {error!r}; is it complete?"
            ) from error


class _VideoFile:
    """One file with the place that its decoder has reached."""

    def __init__(self, root: Path, path: Path, period: float) -> None:
        import av

        self._container: Any = av.open(open_video(root, path))
        self._stream: Any = self._container.streams.video[0]
        self._stream.codec_context.thread_count = 1  # several processes read at once
        self._period = period
        self._frames: Iterator[TimedFrame] = iter(())
        self._before, self._current = _NOTHING, _NOTHING

    def close(self) -> None:
        self._container.close()

    def nearest(self, time: float) -> TimedFrame:
        """The frame nearest to a time [s]; of two that are equally near, the earlier."""
        is_near = self._before[0] <= time <= self._current[0] + _GO_ON * self._period
        if not is_near and not self._seek(time):
            self._rewind()
        while self._current[1] is not None and self._current[0] < time:
            self._before, self._current = self._current, next(self._frames, _NOTHING)
        found = [each for each in (self._before, self._current) if each[1] is not None]
        return min(found, key=lambda each: abs(each[0] - time)) if found else _NOTHING

    def _seek(self, time: float) -> bool:
        """Go to the key frame before a time; false if the file has none there."""
        # The frame before the time may be the nearest, so it must be decoded as well.
        target = int((time - 1.5 * self._period) / self._stream.time_base)
        self._container.seek(target, stream=self._stream, backward=True)
        self._start()
        return self._current[1] is not None and self._current[0] < time

    def _rewind(self) -> None:
        first = self._stream.start_time or 0
        self._container.seek(min(first, 0), stream=self._stream, backward=True)
        self._start()

    def _start(self) -> None:
        frames = self._container.decode(self._stream)
        self._frames = ((frame.time, frame) for frame in frames if frame.time is not None)
        self._before, self._current = _NOTHING, next(self._frames, _NOTHING)

# SPDX-License-Identifier: Apache-2.0
"""Writes the journal of one episode while it is recorded."""

import contextlib
import errno
import json
import os
import time
import zlib
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.atomic_files import (
    make_folders,
    remove_durably,
    sync_file,
    sync_folder,
    write_atomically,
)
from dit_policy_ros.data.recording._journal_format import (
    FRAME,
    FRAME_KIND,
    FRAMES_FILE,
    HEADER_FILE,
    LABEL_FILE,
    RECORD,
    TASK_KIND,
    CameraHealth,
    EpisodeOutcome,
    JournalHeader,
    video_path,
)
from dit_policy_ros.data.video import SYNC_INTERVAL, CameraEncoder, CameraImage, ImageSummary


class JournalWriter:
    """Writes one episode. Call all methods from one thread; all may raise OSError or DatasetError.

    Frames added before an error are kept: `save` still works, or can be tried again.
    """

    def __init__(self, folder: Path, header: JournalHeader) -> None:
        self.folder = folder
        self.frames = 0
        self._bits = {name: 1 << bit for bit, name in enumerate(header.streams)}
        self._task: str | None = None
        self._synced = time.monotonic()
        self._encoders: dict[str, CameraEncoder] = {}
        make_folders(folder)
        write_atomically(folder / HEADER_FILE, header.to_json(), durable=True)
        self._file = os.open(folder / FRAMES_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        with contextlib.ExitStack() as stack:
            stack.callback(self._close)
            for camera in header.spec.cameras:
                path = video_path(folder, camera.name)
                encoder = CameraEncoder(path, camera, int(header.spec.fps), header.video)
                self._encoders[camera.name] = encoder
                stack.callback(encoder.cancel)
            stack.pop_all()  # all is well: nothing is closed

    def add(
        self,
        images: Mapping[str, CameraImage],
        state: NDArray[np.float32],
        action: NDArray[np.float32],
        task: str,
        stamp_ns: int,
        repeated: Collection[str],
    ) -> None:
        """Appends a frame; see EpisodeSink."""
        for name, encoder in self._encoders.items():
            encoder.put(images[name], name not in repeated)
        if task != self._task:
            self._append(TASK_KIND + task.encode())
            self._task = task
        bits = sum(self._bits[name] for name in repeated)
        self._append(FRAME.pack(FRAME_KIND, stamp_ns, bits) + state.tobytes() + action.tobytes())
        self.frames += 1
        if time.monotonic() - self._synced >= SYNC_INTERVAL:
            os.fdatasync(self._file)
            self._synced = time.monotonic()

    @property
    def complete_frames(self) -> int:
        """Number of frames that have the images of all cameras; call it after `end`."""
        return min([self.frames, *(encoder.summary.frames for encoder in self._encoders.values())])

    def end(self) -> dict[str, CameraHealth]:
        """Waits until all images are encoded; add no more frames. By camera name. May be called again."""
        for encoder in self._encoders.values():
            encoder.finish()
        return {
            name: CameraHealth(
                encoder.summary.frames, encoder.summary.frozen, encoder.summary.clipped, encoder.waits
            )
            for name, encoder in self._encoders.items()
        }

    def save(self, outcome: EpisodeOutcome) -> None:
        """Saves the episode: once this returns, it survives a crash or a loss of power."""
        self.end()
        mark_saved(self.folder, outcome, {name: e.summary for name, e in self._encoders.items()})
        self._close()

    def discard(self) -> None:
        """Removes the episode."""
        with contextlib.ExitStack() as steps:  # last step first; one that fails stops no other
            steps.callback(self._close)
            for encoder in self._encoders.values():
                steps.callback(encoder.cancel)
        remove_durably(self.folder)

    def abandon(self) -> None:
        """Closes the files without a decision; the next start finds the episode as interrupted.

        May be called again.
        """
        try:
            self.end()
        finally:
            self._close()

    def _append(self, content: bytes) -> None:
        record = RECORD.pack(len(content), zlib.crc32(content)) + content
        if os.write(self._file, record) != len(record):
            raise OSError(errno.ENOSPC, "a record was written in part")

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def mark_saved(folder: Path, outcome: EpisodeOutcome, summaries: Mapping[str, ImageSummary]) -> None:
    """Marks the episode in a folder as saved, after all its files are on the disk.

    summaries: by camera, as far as they are known.
    """
    for path in (folder / FRAMES_FILE, *folder.glob("*.mkv")):
        sync_file(path)
    sync_folder(folder)
    content = asdict(outcome) | {"summaries": {name: s.to_json() for name, s in summaries.items()}}
    write_atomically(folder / LABEL_FILE, json.dumps(content), durable=True)

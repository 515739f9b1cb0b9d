# SPDX-License-Identifier: Apache-2.0
"""Writes the journal of one episode while it is recorded."""

import contextlib
import errno
import json
import os
import time
import zlib
from collections.abc import Collection, Mapping, Sequence
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
    EndedEpisode,
    EpisodeOutcome,
    JournalHeader,
    images_path,
)
from dit_policy_ros.data.recording._journal_reader import count_whole_frames
from dit_policy_ros.data.video import SYNC_INTERVAL, CameraEncoder, CameraImage, Summary


class JournalWriter:
    """Writes one episode. Call all methods from one thread; all may raise OSError or DatasetError.

    After an error `save` still works, or can be tried again. It saves the frames that are in the files:
    images that waited for a failed encoder are lost, and `end` says how many frames that leaves.
    """

    def __init__(self, folder: Path, header: JournalHeader) -> None:
        self.folder = folder
        self.frames = 0
        self._header = header
        self._ended: EndedEpisode | None = None
        self._bits = {name: 1 << bit for bit, name in enumerate(header.streams)}
        self._task: str | None = None
        self._synced = time.monotonic()
        self._encoders: dict[str, CameraEncoder] = {}
        self._images: dict[str, CameraImage] = {}  # of the last frame
        make_folders(folder)
        write_atomically(folder / HEADER_FILE, header.to_json(), durable=True)
        self._file = os.open(folder / FRAMES_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        with contextlib.ExitStack() as stack:
            stack.callback(self._close)
            for camera in header.spec.cameras:
                path = images_path(folder, camera)
                encoder = CameraEncoder(path, camera, int(header.spec.fps), header.video)
                self._encoders[camera.name] = encoder
                stack.callback(encoder.cancel)
            stack.pop_all()  # all is well: nothing is closed

    @property
    def queued_images(self) -> int:
        """Images that wait for the encoder of the camera that has most of them."""
        return max((encoder.queued for encoder in self._encoders.values()), default=0)

    def add(
        self,
        images: Mapping[str, CameraImage],
        vectors: Sequence[NDArray[np.float32]],
        task: str,
        stamp_ns: int,
        repeated: Collection[str],
    ) -> None:
        """Appends a frame; see EpisodeSink. vectors: state, action and the further ones, in this order."""
        for name, encoder in self._encoders.items():
            # A camera slower than the frames repeats an image, and nothing is wrong.
            is_new = name not in repeated and images[name] is not self._images.get(name)
            encoder.put(images[name], is_new)
        self._images = dict(images)
        if task != self._task:
            self._append(TASK_KIND + task.encode())
            self._task = task
        bits = sum(self._bits[name] for name in repeated)
        content = (vector.tobytes() for vector in vectors)
        self._append(b"".join((FRAME.pack(FRAME_KIND, stamp_ns, bits), *content)))
        self.frames += 1
        if time.monotonic() - self._synced >= SYNC_INTERVAL:
            os.fdatasync(self._file)
            self._synced = time.monotonic()

    def end(self) -> EndedEpisode:
        """Waits until all images are encoded, and counts the frames in the files; add no more frames.

        May be called again.
        """
        for encoder in self._encoders.values():
            encoder.finish()
        if self._ended is None:
            try:
                self._ended = self._count()
            except OSError as error:  # the episode can still be discarded
                return EndedEpisode(0, {}, f"its files cannot be read: {error!r}", is_counted=False)
        return self._ended

    def save(self, outcome: EpisodeOutcome) -> None:
        """Saves the episode: once this returns, it survives a crash or a loss of power.

        If frames are missing in the files, the episode is saved with a failed check that says so.
        """
        ended = self.end()
        if ended.failure is not None:
            outcome = outcome.cut_short(ended.early_end(ended.failure))
        summaries = {name: encoder.summary for name, encoder in self._encoders.items()}
        mark_saved(self.folder, outcome, summaries, ended.frames)
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

    def _count(self) -> EndedEpisode:
        """What is in the files. What encoders and this object have counted may never have come there."""
        frames = count_whole_frames(self.folder, self._header)
        failure = None
        if frames < self.frames:
            errors = [f"camera {name}: {e.failure}" for name, e in self._encoders.items() if e.failure]
            failure = "; ".join([*errors, f"{frames} of {self.frames} frames are in the files"])
        cameras = {
            name: CameraHealth(e.summary.frames, e.summary.frozen, e.summary.clipped, e.waits)
            for name, e in self._encoders.items()
        }
        return EndedEpisode(frames, cameras, failure)

    def _append(self, content: bytes) -> None:
        record = RECORD.pack(len(content), zlib.crc32(content)) + content
        if os.write(self._file, record) != len(record):
            raise OSError(errno.ENOSPC, "a record was written in part")

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def mark_saved(folder: Path, outcome: EpisodeOutcome, summaries: Mapping[str, Summary], frames: int) -> None:
    """Marks the episode in a folder as saved, after all its files are on the disk.

    summaries: by camera, as far as they are known. frames: number of frames, counted in the files.
    """
    for path in (folder / FRAMES_FILE, *folder.glob("*.mkv"), *folder.glob("*.depth")):
        sync_file(path)
    sync_folder(folder)
    content = asdict(outcome) | {"frames": frames}
    content |= {"summaries": {name: summary.to_json() for name, summary in summaries.items()}}
    write_atomically(folder / LABEL_FILE, json.dumps(content), durable=True)

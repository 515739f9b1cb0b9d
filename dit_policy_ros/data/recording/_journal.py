# SPDX-License-Identifier: Apache-2.0
"""One episode on disk while it is recorded, and until it is in the dataset.

A folder of its own holds

    header.json   what is needed to read the rest without any configuration
    frames.bin    the vectors, append-only: length, checksum and content of each record
    NAME.mkv      the images of each camera, append-only
    label.json    written last, when the operator saved the episode: from then on it is part of the dataset

so that an episode is saved exactly if label.json is there. Without it, everything up to the last record that
is whole can still be read.
"""

import errno
import json
import os
import struct
import time
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.durable import make_folders, remove_durably, sync_file, sync_folder, write_durably
from dit_policy_ros.data.video import (
    SYNC_INTERVAL,
    CameraEncoder,
    CameraImage,
    ImageSummary,
    VideoSettings,
    count_frames,
)

HEADER, FRAMES, LABEL = "header.json", "frames.bin", "label.json"
_RECORD = struct.Struct("<II")  # length and CRC-32 of the content that follows
_FRAME = struct.Struct("<cqQ")  # kind, stamp [ns], bits of the streams that repeat; then state and action
_TASK_KIND, _FRAME_KIND = b"T", b"F"


@dataclass(frozen=True, slots=True)
class Layout:
    """What an episode consists of. streams: names behind the bits of a frame's repeated samples."""

    fps: int  # [Hz]
    cameras: tuple[Camera, ...]
    joints: tuple[str, ...]
    robot_type: str
    streams: tuple[str, ...]
    video: VideoSettings

    def to_json(self) -> bytes:
        """Content of header.json."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "Layout":
        """Reads header.json; ValueError, TypeError or KeyError for anything else."""
        values = json.loads(content)
        return cls(
            fps=values["fps"],
            cameras=tuple(Camera(**camera) for camera in values["cameras"]),
            joints=tuple(values["joints"]),
            robot_type=values["robot_type"],
            streams=tuple(values["streams"]),
            video=VideoSettings(**values["video"]),
        )


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """What became of one camera's images in an episode; see ImageSummary and CameraEncoder."""

    frames: int
    frozen: int
    clipped: int
    waits: int


@dataclass(frozen=True, slots=True)
class EpisodeLabel:
    """What is decided about an episode when it is saved; see EpisodeRecord."""

    success: bool | None = None
    passed: bool = True
    reasons: tuple[str, ...] = ()
    recovered: bool = False
    figures: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class JournalContent:
    """What can be read of an episode: N frames, of which every camera has the image.

    label: None if it was never saved. summaries: by camera, where it was ended properly.
    """

    layout: Layout
    stamps_ns: NDArray[np.int64]  # (N,)
    tasks: tuple[str, ...]  # N of them
    repeated: NDArray[np.uint64]  # (N,) bits
    state: NDArray[np.float32]  # (N, D) [rad or m]
    action: NDArray[np.float32]  # (N, D) [rad or m]
    label: EpisodeLabel | None
    summaries: Mapping[str, ImageSummary]

    def repeated_frames(self) -> dict[str, NDArray[np.int64]]:
        """By stream, the frames that repeat its sample; streams without any are left out."""
        frames = {
            name: np.flatnonzero(self.repeated >> np.uint64(bit) & np.uint64(1))
            for bit, name in enumerate(self.layout.streams)
        }
        return {name: numbers for name, numbers in frames.items() if len(numbers)}


class EpisodeJournal:
    """Writes one episode. All methods are called from one thread; all may raise OSError or DatasetError.

    What was added before an error is kept: `save` still works, or can be tried again.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder = folder
        self.frames = 0
        self._layout = layout
        self._bits = {name: 1 << bit for bit, name in enumerate(layout.streams)}
        self._task: str | None = None
        self._synced = time.monotonic()
        self._encoders: dict[str, CameraEncoder] = {}
        make_folders(folder)
        write_durably(folder / HEADER, layout.to_json())
        self._file = os.open(folder / FRAMES, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        for camera in layout.cameras:
            path = video_path(folder, camera.name)
            self._encoders[camera.name] = CameraEncoder(path, camera, layout.fps, layout.video)

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
            self._append(_TASK_KIND + task.encode())
            self._task = task
        bits = sum(self._bits[name] for name in repeated)
        self._append(_FRAME.pack(_FRAME_KIND, stamp_ns, bits) + state.tobytes() + action.tobytes())
        self.frames += 1
        if time.monotonic() - self._synced >= SYNC_INTERVAL:
            os.fdatasync(self._file)
            self._synced = time.monotonic()

    @property
    def complete_frames(self) -> int:
        """Frames of which every camera has the image, once it has ended."""
        return min([self.frames, *(encoder.summary.frames for encoder in self._encoders.values())])

    def end(self) -> dict[str, CameraHealth]:
        """No more frames come; waits until all images are encoded. May be called again."""
        for encoder in self._encoders.values():
            encoder.finish()
        return {
            name: CameraHealth(
                encoder.summary.frames, encoder.summary.frozen, encoder.summary.clipped, encoder.waits
            )
            for name, encoder in self._encoders.items()
        }

    def save(self, label: EpisodeLabel) -> None:
        """Makes the episode part of the dataset: it survives whatever comes when this returns."""
        self.end()
        write_label(self.folder, label, {name: e.summary for name, e in self._encoders.items()})
        self._close()

    def discard(self) -> None:
        """Removes the episode."""
        for encoder in self._encoders.values():
            encoder.cancel()
        self._close()
        remove_durably(self.folder)

    def abandon(self) -> None:
        """Lets go of the episode without a decision; it lies there as if the process had ended.

        May be called again.
        """
        self.end()
        self._close()

    def _append(self, content: bytes) -> None:
        record = _RECORD.pack(len(content), zlib.crc32(content)) + content
        if os.write(self._file, record) != len(record):
            raise OSError(errno.ENOSPC, "a record was written in part")

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def video_path(folder: Path, camera: str) -> Path:
    """Where the images of a camera are in an episode's folder."""
    return folder / f"{camera}.mkv"


def write_label(folder: Path, label: EpisodeLabel, summaries: Mapping[str, ImageSummary]) -> None:
    """Makes the episode in a folder part of the dataset, after all its files are on the disk.

    summaries: by camera, as far as they are known.
    """
    for path in (folder / FRAMES, *folder.glob("*.mkv")):
        sync_file(path)
    sync_folder(folder)
    content = asdict(label) | {"summaries": {name: s.to_json() for name, s in summaries.items()}}
    write_durably(folder / LABEL, json.dumps(content).encode())


def read_journal(folder: Path) -> JournalContent:
    """Whatever can be read of an episode. Raises DatasetError if not even its header can."""
    try:
        layout = Layout.from_json((folder / HEADER).read_bytes())
        label, summaries = _read_label(folder)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"the episode in {folder} cannot be read: {error!r}") from error
    width = len(layout.joints)
    tasks, frames = [], []
    task = ""
    for content in _records(folder / FRAMES):
        if content[:1] == _TASK_KIND:
            task = content[1:].decode()
        else:
            frames.append(content)
            tasks.append(task)
    names = [camera.name for camera in layout.cameras]
    if all(name in summaries and summaries[name].frames == len(frames) for name in names):
        count = len(frames)
    else:
        images = [count_frames(video_path(folder, name)) for name in names]
        count = min([len(frames), *images])
    heads = [_FRAME.unpack_from(content) for content in frames[:count]]
    vectors = np.array(
        [np.frombuffer(content, np.float32, 2 * width, _FRAME.size) for content in frames[:count]],
        dtype=np.float32,
    ).reshape(count, 2, width)
    return JournalContent(
        layout=layout,
        stamps_ns=np.array([stamp for _, stamp, _ in heads], dtype=np.int64),
        tasks=tuple(tasks[:count]),
        repeated=np.array([bits for _, _, bits in heads], dtype=np.uint64),
        state=vectors[:, 0],
        action=vectors[:, 1],
        label=label,
        summaries=summaries,
    )


def is_saved(folder: Path) -> bool:
    """Whether the operator saved the episode in a folder."""
    return (folder / LABEL).exists()


def _read_label(folder: Path) -> tuple[EpisodeLabel | None, dict[str, ImageSummary]]:
    if not is_saved(folder):
        return None, {}
    values = json.loads((folder / LABEL).read_bytes())
    summaries = {name: ImageSummary.from_json(stored) for name, stored in values.pop("summaries").items()}
    return EpisodeLabel(**{**values, "reasons": tuple(values["reasons"])}), summaries


def _records(path: Path) -> Iterator[bytes]:
    """The contents of all whole records."""
    data = path.read_bytes() if path.exists() else b""
    position = 0
    while position + _RECORD.size <= len(data):
        length, checksum = _RECORD.unpack_from(data, position)
        content = data[position + _RECORD.size : position + _RECORD.size + length]
        if len(content) < length or zlib.crc32(content) != checksum:
            return
        yield content
        position += _RECORD.size + length

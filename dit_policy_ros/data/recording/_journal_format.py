# SPDX-License-Identifier: Apache-2.0
"""The journal of one episode: its folder on disk, from the first frame until it is in the dataset.

The folder contains

    header.json   all that is needed to read the other files
    frames.bin    states, actions and tasks, append-only: length, checksum and content of each record
    NAME.mkv      the images of each camera, append-only
    label.json    written last, when the operator saves the episode

An episode counts as saved if and only if label.json exists. Without it, everything up to the last complete
record can still be read.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.data.dataset import DatasetSpec
from dit_policy_ros.data.video import ImageSummary, VideoSettings

HEADER_FILE, FRAMES_FILE, LABEL_FILE = "header.json", "frames.bin", "label.json"
RECORD = struct.Struct("<II")  # length and CRC-32 of the content that follows
FRAME = struct.Struct("<cqQ")  # kind, stamp [ns], bits of the streams that repeat; then state and action
TASK_KIND, FRAME_KIND = b"T", b"F"  # first byte of a record's content


@dataclass(frozen=True, slots=True)
class JournalHeader:
    """The content of header.json. streams: bit i of a frame's repeated samples stands for streams[i]."""

    spec: DatasetSpec
    streams: tuple[str, ...]
    video: VideoSettings

    def to_json(self) -> bytes:
        """The content of header.json."""
        values = asdict(self.spec) | {"fps": int(self.spec.fps), "streams": self.streams}
        return json.dumps(values | {"video": asdict(self.video)}, indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "JournalHeader":
        """Reads header.json. Raises ValueError, TypeError or KeyError for anything else."""
        values = json.loads(content)
        spec = DatasetSpec(
            fps=values["fps"],
            cameras=tuple(Camera(**camera) for camera in values["cameras"]),
            joints=tuple(values["joints"]),
            robot_type=values["robot_type"],
        )
        return cls(spec, tuple(values["streams"]), VideoSettings(**values["video"]))


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """Counts of one camera's images in an episode; see ImageSummary and CameraEncoder."""

    frames: int
    frozen: int
    clipped: int
    waits: int


@dataclass(frozen=True, slots=True)
class EpisodeOutcome:
    """What is known about an episode when it is saved: the operator's label and the check's result.

    The fields are those of EpisodeRecord.
    """

    success: bool | None = None
    passed: bool = True
    reasons: tuple[str, ...] = ()
    recovered: bool = False
    figures: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class JournalContent:
    """The readable part of a journal: N frames, each with the images of all cameras.

    outcome: None if the episode was never saved. summaries: by camera, empty after a crash.
    """

    header: JournalHeader
    stamps_ns: NDArray[np.int64]  # (N,)
    tasks: tuple[str, ...]  # N of them
    repeated: NDArray[np.uint64]  # (N,) bits
    state: NDArray[np.float32]  # (N, D) [rad or m]
    action: NDArray[np.float32]  # (N, D) [rad or m]
    outcome: EpisodeOutcome | None
    summaries: Mapping[str, ImageSummary]

    def repeated_frames(self) -> dict[str, NDArray[np.int64]]:
        """By stream, the frames that repeat its previous sample; streams without any are left out."""
        frames = {
            name: np.flatnonzero(self.repeated >> np.uint64(bit) & np.uint64(1))
            for bit, name in enumerate(self.header.streams)
        }
        return {name: numbers for name, numbers in frames.items() if len(numbers)}


def video_path(folder: Path, camera: str) -> Path:
    """The file with a camera's images in a journal."""
    return folder / f"{camera}.mkv"

# SPDX-License-Identifier: Apache-2.0
"""The journal of one episode: its folder on disk, from the first frame until it is in the dataset.

The folder contains

    header.json   all that is needed to read the other files
    frames.bin    vectors and tasks, append-only: length, checksum and content of each record
    NAME.mkv      the images of each camera, append-only
    NAME.depth    those of a depth camera
    label.json    written last, when the operator saves the episode
    stage/        the files that the episode adds to the dataset, while it is committed
    plan.json     their names, once all are complete

An episode counts as saved if and only if label.json exists. Without it, everything up to the last complete
record can still be read.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.contract import Camera, Vector
from dit_policy_ros.core.recording import CONTROLLERS, UNKNOWN
from dit_policy_ros.data.dataset import VECTOR_STREAMS, DatasetSpec
from dit_policy_ros.data.video import Summary, VideoSettings

HEADER_FILE, FRAMES_FILE, LABEL_FILE = "header.json", "frames.bin", "label.json"
CONTROLLER_NAMES = (*CONTROLLERS, UNKNOWN)  # by the number in a frame's record
PLAN_FILE, STAGING_FOLDER = "plan.json", "stage"
MIN_FRAMES = 2  # LeRobot has no statistics for an episode of one frame
RECORD = struct.Struct("<II")  # length and CRC-32 of the content that follows
FRAME = struct.Struct("<cqQ")  # kind, stamp [ns], bits of streams that repeat; vectors and who drove follow
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
            vectors=tuple(Vector.from_mapping(vector) for vector in values.get("vectors", ())),
            control=values.get("control", False),
        )
        streams = tuple(values["streams"])
        sources = {source.name for source in (*spec.cameras, *spec.vectors)}
        if missing := sorted({*sources, *VECTOR_STREAMS} - set(streams)):  # their flags would be lost
            raise ValueError(f"streams: {', '.join(missing)} are not among {streams}")
        return cls(spec, streams, VideoSettings(**values["video"]))


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """Counts of one camera's images in an episode; see ImageSummary and CameraEncoder."""

    frames: int
    frozen: int
    clipped: int
    waits: int


@dataclass(frozen=True, slots=True)
class EndedEpisode:
    """What the files of an episode contain once no frame follows.

    frames: whole frames, counted in the files. cameras: counts of the images, by camera. failure: why frames
    that were added are not in the files, or None if all are. is_counted: false if the files cannot be read.
    """

    frames: int
    cameras: Mapping[str, CameraHealth]
    failure: str | None = None
    is_counted: bool = True

    def early_end(self, error: str) -> str:
        """The reason for a failed check of an episode that an error has ended."""
        return f"the episode ended early, at frame {self.frames}: {error}"


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

    def cut_short(self, reason: str) -> "EpisodeOutcome":
        """The same with a check that failed for this reason, too, unless a reason says so."""
        if any(reason in known for known in self.reasons):
            return replace(self, passed=False)
        return replace(self, passed=False, reasons=(*self.reasons, reason))


@dataclass(frozen=True, slots=True)
class JournalContent:
    """The readable part of a journal: N frames, each with the images of all cameras.

    further: the further vectors, by name. vectors: frames whose vectors are complete, also those whose images
    are not. controllers: who drove, as a number of CONTROLLER_NAMES; None if that was not recorded.
    outcome: None if the episode was never saved. summaries: by camera; a camera whose summary was lost in a
    crash, or counts other images than these N, has none.
    """

    header: JournalHeader
    stamps_ns: NDArray[np.int64]  # (N,)
    tasks: tuple[str, ...]  # N of them
    repeated: NDArray[np.uint64]  # (N,) bits
    state: NDArray[np.float32]  # (N, D) [rad or m]
    action: NDArray[np.float32]  # (N, D) [rad or m]
    further: Mapping[str, NDArray[np.float32]]  # (N, K) each
    vectors: int
    outcome: EpisodeOutcome | None
    summaries: Mapping[str, Summary]
    controllers: NDArray[np.int64] | None = None  # (N,)

    def repeated_frames(self) -> dict[str, NDArray[np.int64]]:
        """By stream, the frames that repeat its previous sample; streams without any are left out."""
        frames = {
            name: np.flatnonzero(self.repeated >> np.uint64(bit) & np.uint64(1))
            for bit, name in enumerate(self.header.streams)
        }
        return {name: numbers for name, numbers in frames.items() if len(numbers)}


def images_path(folder: Path, camera: Camera) -> Path:
    """The file with a camera's images in a journal."""
    return folder / f"{camera.name}{'.depth' if camera.is_depth else '.mkv'}"

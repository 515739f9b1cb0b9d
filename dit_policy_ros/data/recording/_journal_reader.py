# SPDX-License-Identifier: Apache-2.0
"""Reads the journal of one episode, complete or cut off by a crash."""

import contextlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import EpisodeRecord
from dit_policy_ros.data.recording._journal_format import (
    FRAME,
    FRAMES_FILE,
    HEADER_FILE,
    LABEL_FILE,
    RECORD,
    TASK_KIND,
    EpisodeOutcome,
    JournalContent,
    JournalHeader,
    images_path,
)
from dit_policy_ros.data.video import Summary, count_frames, count_tiffs, read_summary


def read_journal(folder: Path) -> JournalContent:
    """Everything readable of an episode. Raises DatasetError if its header or label cannot be read."""
    with _reading(HEADER_FILE):
        header = JournalHeader.from_json((folder / HEADER_FILE).read_bytes())
    with _reading(LABEL_FILE):
        outcome, summaries, saved = _read_label(folder)
    tasks, frames = _frames(folder / FRAMES_FILE)
    count = _count_whole(folder, header, len(frames))
    if saved is not None:
        if outcome is not None and count < saved:
            outcome = outcome.cut_short(
                f"only {count} of the {saved} saved frames are in the files of {folder}"
            )
        count = min(count, saved)
    heads = [FRAME.unpack_from(content) for content in frames[:count]]
    spec = header.spec
    names = ("state", "action", *(vector.name for vector in spec.vectors), "")  # at last, who drove
    sizes = (len(spec.joints), len(spec.joints), *(vector.size for vector in spec.vectors), int(spec.control))
    rows = [np.frombuffer(content, np.float32, sum(sizes), FRAME.size) for content in frames[:count]]
    table = np.array(rows, dtype=np.float32).reshape(count, sum(sizes))
    vectors = dict(zip(names, np.split(table, np.cumsum(sizes)[:-1], axis=1), strict=True))
    return JournalContent(
        header=header,
        stamps_ns=np.array([stamp for _, stamp, _ in heads], dtype=np.int64),
        tasks=tuple(tasks[:count]),
        repeated=np.array([bits for _, _, bits in heads], dtype=np.uint64),
        state=vectors["state"],
        action=vectors["action"],
        further={vector.name: vectors[vector.name] for vector in spec.vectors},
        vectors=len(frames),
        outcome=outcome,
        summaries={name: summary for name, summary in summaries.items() if summary.frames == count},
        controllers=vectors[""][:, 0].astype(np.int64) if spec.control else None,
    )


def count_whole_frames(folder: Path, header: JournalHeader) -> int:
    """Number of frames whose vectors and images of all cameras are in the files. Raises OSError."""
    return _count_whole(folder, header, len(_frames(folder / FRAMES_FILE)[1]))


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    """Inside, any error of a damaged file becomes a DatasetError that names the file."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DatasetError(f"{name} of the episode cannot be read: {error!r}") from error


def is_saved(folder: Path) -> bool:
    """Whether the operator saved the episode in a folder."""
    return (folder / LABEL_FILE).exists()


def _read_label(folder: Path) -> tuple[EpisodeOutcome | None, dict[str, Summary], int | None]:
    """The content of label.json: outcome, summaries by camera, and number of frames if it says one."""
    if not is_saved(folder):
        return None, {}, None
    values = json.loads((folder / LABEL_FILE).read_bytes())
    frames = values.pop("frames", None)
    if frames is not None and (type(frames) is not int or frames < 0):
        raise ValueError(f"frames: {frames!r:.80}")
    summaries = {}
    for name, stored in values.pop("summaries").items():
        with contextlib.suppress(ValueError, TypeError, LookupError):  # it is made again, of the images
            summaries[name] = read_summary(stored)
    outcome = EpisodeOutcome(**values)
    # The rules of the side table, which gets these values.
    line = asdict(outcome) | {"figures": outcome.figures or {}, "repeated": {}}
    EpisodeRecord.from_json(json.dumps(line | {"episode_index": 0, "frames": 1}, allow_nan=False))
    return replace(outcome, reasons=tuple(outcome.reasons)), summaries, frames


def _count_whole(folder: Path, header: JournalHeader, vectors: int) -> int:
    """How many of the frames with vectors have the images of all cameras."""
    images = [
        (count_tiffs if camera.is_depth else count_frames)(images_path(folder, camera))
        for camera in header.spec.cameras
    ]
    return min([vectors, *images])


def _frames(path: Path) -> tuple[list[str], list[bytes]]:
    """Instruction and record of each frame that is complete in the file."""
    tasks, frames = [], []
    task = ""
    for content in _records(path):
        if content[:1] == TASK_KIND:
            task = content[1:].decode()
        else:
            frames.append(content)
            tasks.append(task)
    return tasks, frames


def _records(path: Path) -> Iterator[bytes]:
    """The contents of all complete records."""
    data = path.read_bytes() if path.exists() else b""
    position = 0
    while position + RECORD.size <= len(data):
        length, checksum = RECORD.unpack_from(data, position)
        content = data[position + RECORD.size : position + RECORD.size + length]
        if not length or len(content) < length or zlib.crc32(content) != checksum:
            return
        yield content
        position += RECORD.size + length

# SPDX-License-Identifier: Apache-2.0
"""Reads the journal of one episode, complete or cut off by a crash."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dit_policy_ros.core.errors import DatasetError
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
    video_path,
)
from dit_policy_ros.data.video import ImageSummary, count_frames


def read_journal(folder: Path) -> JournalContent:
    """Everything readable of an episode. Raises DatasetError if its header cannot be read."""
    try:
        header = JournalHeader.from_json((folder / HEADER_FILE).read_bytes())
        outcome, summaries = _read_outcome(folder)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"the episode in {folder} cannot be read: {error!r}") from error
    width = len(header.spec.joints)
    tasks, frames = [], []
    task = ""
    for content in _records(folder / FRAMES_FILE):
        if content[:1] == TASK_KIND:
            task = content[1:].decode()
        else:
            frames.append(content)
            tasks.append(task)
    names = [camera.name for camera in header.spec.cameras]
    if all(name in summaries and summaries[name].frames == len(frames) for name in names):
        count = len(frames)
    else:
        images = [count_frames(video_path(folder, name)) for name in names]
        count = min([len(frames), *images])
    heads = [FRAME.unpack_from(content) for content in frames[:count]]
    vectors = np.array(
        [np.frombuffer(content, np.float32, 2 * width, FRAME.size) for content in frames[:count]],
        dtype=np.float32,
    ).reshape(count, 2, width)  # (N, 2, D)
    return JournalContent(
        header=header,
        stamps_ns=np.array([stamp for _, stamp, _ in heads], dtype=np.int64),
        tasks=tuple(tasks[:count]),
        repeated=np.array([bits for _, _, bits in heads], dtype=np.uint64),
        state=vectors[:, 0],
        action=vectors[:, 1],
        outcome=outcome,
        summaries=summaries,
    )


def is_saved(folder: Path) -> bool:
    """Whether the operator saved the episode in a folder."""
    return (folder / LABEL_FILE).exists()


def _read_outcome(folder: Path) -> tuple[EpisodeOutcome | None, dict[str, ImageSummary]]:
    if not is_saved(folder):
        return None, {}
    values = json.loads((folder / LABEL_FILE).read_bytes())
    summaries = {name: ImageSummary.from_json(stored) for name, stored in values.pop("summaries").items()}
    return EpisodeOutcome(**{**values, "reasons": tuple(values["reasons"])}), summaries


def _records(path: Path) -> Iterator[bytes]:
    """The contents of all complete records."""
    data = path.read_bytes() if path.exists() else b""
    position = 0
    while position + RECORD.size <= len(data):
        length, checksum = RECORD.unpack_from(data, position)
        content = data[position + RECORD.size : position + RECORD.size + length]
        if len(content) < length or zlib.crc32(content) != checksum:
            return
        yield content
        position += RECORD.size + length

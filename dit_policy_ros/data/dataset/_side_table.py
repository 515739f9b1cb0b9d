# SPDX-License-Identifier: Apache-2.0
"""The recorder's side table: what LeRobot's format cannot store, one line of JSON per episode.

It is `meta/recorder.jsonl`, next to LeRobot's own metadata. Frame numbers count from the episode's first
frame. Episodes without a line (recorded by other programs) have no flagged frames.
"""

import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError

SIDE_TABLE = Path("meta") / "recorder.jsonl"
VECTOR_STREAMS = ("joint_states", "action")  # the streams that are not cameras
LOST_STREAM = "unknown"  # stands for all streams of an episode whose flags are lost

Spans = tuple[tuple[int, int], ...]
"""Runs of frames, (first, last) of each, both inclusive."""


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """What the recorder knows about one episode.

    success: the operator's label; None if nobody gave one. passed, reasons: the result of the check, and why
    it failed. repeated: by stream, the frames without a new sample, which repeat the previous one. recovered:
    the recording was interrupted by a crash. recorded_ns: stamp of the first frame [ns], 0 if unknown.
    figures: other measured values, by name.
    """

    episode_index: int
    frames: int
    success: bool | None = None
    passed: bool = True
    reasons: tuple[str, ...] = ()
    repeated: Mapping[str, Spans] = field(default_factory=dict)
    recovered: bool = False
    recorded_ns: int = 0
    figures: Mapping[str, Any] = field(default_factory=dict)

    def flagged(self, streams: Collection[str] | None = None) -> NDArray[np.int64]:
        """Frames in which any of these streams repeats an old sample, in order; None means all streams."""
        flagged = np.zeros(self.frames, dtype=bool)  # (frames,)
        for name, spans in self.repeated.items():
            counts = streams is None or name in streams or name == LOST_STREAM
            for first, last in spans if counts else ():
                flagged[first : last + 1] = True
        return np.flatnonzero(flagged)

    def to_json(self) -> str:
        """One line of the table, without the newline."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> "EpisodeRecord":
        """Reads what `to_json` wrote. Raises ValueError, TypeError or KeyError for anything else."""
        values = json.loads(line)
        repeated = {name: tuple((a, b) for a, b in runs) for name, runs in values["repeated"].items()}
        reasons = values["reasons"]
        if not isinstance(reasons, list):  # a text would become its letters
            raise ValueError(f"reasons: {reasons!r:.80}")
        if missing := [name for name in ("success", "passed") if name not in values]:
            raise KeyError(*missing)  # the defaults would make a good episode of it
        record = cls(**{**values, "reasons": tuple(reasons), "repeated": repeated})
        record._check()
        return record

    def _check(self) -> None:
        """ValueError for a value that another program has spoilt."""
        spans = [(name, *span) for name, runs in self.repeated.items() for span in runs]
        for name, is_good in (
            ("episode_index", type(self.episode_index) is int and self.episode_index >= 0),
            ("frames", type(self.frames) is int and self.frames > 0),
            ("success", self.success in (True, False, None) and type(self.success) is not int),
            ("passed", type(self.passed) is bool),
            ("reasons", all(isinstance(reason, str) for reason in self.reasons)),
            ("recovered", type(self.recovered) is bool),
            ("recorded_ns", type(self.recorded_ns) is int),
            ("figures", isinstance(self.figures, Mapping)),
        ):
            if not is_good:
                raise ValueError(f"{name}: {getattr(self, name)!r:.80}")
        for _, first, last in spans:
            if not (type(first) is type(last) is int and 0 <= first <= last < self.frames):
                raise ValueError(f"repeated: frames {first!r} to {last!r} of {self.frames}")


def to_spans(frames: Sequence[int] | NDArray[np.integer]) -> Spans:
    """Groups increasing frame numbers into runs."""
    numbers = np.asarray(frames, dtype=np.int64)  # (M,)
    if not len(numbers):
        return ()
    breaks = np.flatnonzero(np.diff(numbers) > 1)
    firsts = numbers[np.concatenate(([0], breaks + 1))]
    lasts = numbers[np.concatenate((breaks, [len(numbers) - 1]))]
    return tuple(zip(firsts.tolist(), lasts.tolist(), strict=True))


def read_records(root: Path | str) -> dict[int, EpisodeRecord]:
    """All records of a dataset by episode index, empty without a side table. Raises DatasetError."""
    path = Path(root) / SIDE_TABLE
    if not (path.exists() or path.is_symlink()):  # a link to nowhere is a table that is lost
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    records: dict[int, EpisodeRecord] = {}
    for number, line in enumerate(lines, start=1):
        try:
            record = EpisodeRecord.from_json(line)
            if record.episode_index in records:
                raise ValueError(f"episode {record.episode_index} comes twice")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DatasetError(f"{path}, line {number} is damaged ({error!r})") from error
        records[record.episode_index] = record
    return records


def format_records(records: Iterable[EpisodeRecord]) -> str:
    """The content of a side table with these records."""
    ordered = sorted(records, key=lambda record: record.episode_index)
    return "".join(record.to_json() + "\n" for record in ordered)

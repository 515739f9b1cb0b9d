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
            for first, last in spans if streams is None or name in streams else ():
                flagged[first : last + 1] = True
        return np.flatnonzero(flagged)

    def to_json(self) -> str:
        """One line of the table, without the newline."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> "EpisodeRecord":
        """Reads what `to_json` wrote. Raises ValueError, TypeError or KeyError for anything else."""
        values = json.loads(line)
        repeated = {
            name: tuple((int(a), int(b)) for a, b in runs) for name, runs in values["repeated"].items()
        }
        return cls(**{**values, "reasons": tuple(values["reasons"]), "repeated": repeated})


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
    if not path.is_file():
        return {}
    records = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            record = EpisodeRecord.from_json(line)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DatasetError(f"{path}, line {number} is damaged ({error!r})") from error
        records[record.episode_index] = record
    return records


def format_records(records: Iterable[EpisodeRecord]) -> str:
    """The content of a side table with these records."""
    ordered = sorted(records, key=lambda record: record.episode_index)
    return "".join(record.to_json() + "\n" for record in ordered)

# SPDX-License-Identifier: Apache-2.0
"""The recorder's side table: what LeRobot has no place for, one line of JSON per episode.

It lies beside LeRobot's own metadata, in `meta/recorder.jsonl`, and travels with the dataset. Frames are
counted from the episode's first. Episodes without a line (recorded by other programs) have nothing flagged.
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

RECORDS = Path("meta") / "recorder.jsonl"
STREAMS = ("joint_states", "action")  # beside the cameras

Spans = tuple[tuple[int, int], ...]
"""Runs of frames, (first, last) of each, both included."""


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """What the recorder knows of one episode.

    success: the operator's label; None if nobody gave one. passed, reasons: the verdict and why it failed.
    repeated: by stream, the frames for which no sample was there and the one before was repeated.
    recovered: found half-recorded after a crash. recorded_ns: stamp of the first frame [ns], 0 if not known.
    figures: whatever else was measured, by name.
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
        """The frames in which any of these streams, or of all for None, repeats an old sample, increasing."""
        flagged = np.zeros(self.frames, dtype=bool)  # (frames,)
        for name, spans in self.repeated.items():
            for first, last in spans if streams is None or name in streams else ():
                flagged[first : last + 1] = True
        return np.flatnonzero(flagged)

    def to_json(self) -> str:
        """One line, without its end."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> "EpisodeRecord":
        """Reads what `to_json` wrote; ValueError, TypeError or KeyError for anything else."""
        values = json.loads(line)
        repeated = {
            name: tuple((int(a), int(b)) for a, b in runs) for name, runs in values["repeated"].items()
        }
        return cls(**{**values, "reasons": tuple(values["reasons"]), "repeated": repeated})


def spans_of(frames: Sequence[int] | NDArray[np.integer]) -> Spans:
    """Increasing frame numbers as runs."""
    numbers = np.asarray(frames, dtype=np.int64)  # (M,)
    if not len(numbers):
        return ()
    breaks = np.flatnonzero(np.diff(numbers) > 1)
    firsts = numbers[np.concatenate(([0], breaks + 1))]
    lasts = numbers[np.concatenate((breaks, [len(numbers) - 1]))]
    return tuple(zip(firsts.tolist(), lasts.tolist(), strict=True))


def read_records(root: Path | str) -> dict[int, EpisodeRecord]:
    """All records of a dataset by episode index; none if it has no side table. Raises DatasetError."""
    path = Path(root) / RECORDS
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


def records_text(records: Iterable[EpisodeRecord]) -> str:
    """The side table's content."""
    ordered = sorted(records, key=lambda record: record.episode_index)
    return "".join(record.to_json() + "\n" for record in ordered)

# SPDX-License-Identifier: Apache-2.0
"""Which frames and episodes of a dataset should not be learned from; needs neither LeRobot nor torch."""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset._episode_records import RECORDS, EpisodeRecord, read_records


def flagged_frames(root: Path | str, streams: Collection[str] | None = None) -> dict[int, NDArray[np.int64]]:
    """Frames that repeat an old sample, of one of ``streams`` or of any for None, by episode.

    Frames are counted from the episode's first, as in LeRobot's `frame_index`, and increase. Episodes without
    such frames are left out, so a dataset of another program gives an empty result.

    Raises DatasetError if the side table is damaged or does not belong to the episodes beside it.
    """
    flagged = {index: record.flagged(streams) for index, record in _records(Path(root)).items()}
    return {index: frames for index, frames in flagged.items() if len(frames)}


def failed_episodes(root: Path | str) -> dict[int, tuple[str, ...]]:
    """Episodes whose verdict failed, with the reasons. Raises DatasetError like `flagged_frames`."""
    return {index: record.reasons for index, record in _records(Path(root)).items() if not record.passed}


def episode_lengths(root: Path) -> list[int]:
    """Frames of each episode of a dataset, from LeRobot's own metadata. Raises DatasetError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        total = int(json.loads((root / "meta" / "info.json").read_text())["total_episodes"])
        lengths: dict[int, int] = {}
        for path in sorted((root / "meta" / "episodes").glob("*/*.parquet")):
            table = pq.read_table(path, columns=["episode_index", "length"]).to_pydict()
            lengths |= dict(zip(table["episode_index"], table["length"], strict=True))
        return [lengths[index] for index in range(total)]
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise DatasetError(f"dataset {root}: its episodes cannot be read: {error!r}") from error


def _records(root: Path) -> dict[int, EpisodeRecord]:
    """The records of the episodes that exist, checked against their lengths."""
    records = read_records(root)
    if not records:
        return {}
    lengths = episode_lengths(root)
    kept = {index: record for index, record in records.items() if index < len(lengths)}
    for index, record in kept.items():
        if record.frames != lengths[index]:
            raise DatasetError(
                f"{root / RECORDS} says that episode {index} has {record.frames} frames, the dataset says "
                f"{lengths[index]}. Episodes were removed by a program that does not know this table; "
                "`dit_policy inspect --delete` does. Remove the table to go on without flags"
            )
    return kept

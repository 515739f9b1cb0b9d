# SPDX-License-Identifier: Apache-2.0
"""Which frames and episodes of a dataset training should leave out. Needs neither LeRobot nor torch."""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset._side_table import SIDE_TABLE, EpisodeRecord, read_records


def flagged_frames(root: Path | str, streams: Collection[str] | None = None) -> dict[int, NDArray[np.int64]]:
    """Frames that repeat an old sample, by episode. Episodes without such frames are left out.

    Args:
        root: the dataset's folder.
        streams: consider only these streams; None considers all.

    Returns:
        Increasing frame numbers by episode index, counted as in LeRobot's `frame_index`. Empty for a dataset
        that another program recorded.

    Raises:
        DatasetError: the side table is damaged or does not match the episodes.
    """
    flagged = {index: record.flagged(streams) for index, record in _records(Path(root)).items()}
    return {index: frames for index, frames in flagged.items() if len(frames)}


def failed_episodes(root: Path | str) -> dict[int, tuple[str, ...]]:
    """Episodes that failed their check, with the reasons. Raises DatasetError like `flagged_frames`."""
    return {index: record.reasons for index, record in _records(Path(root)).items() if not record.passed}


def episode_lengths(root: Path) -> list[int]:
    """Number of frames of each episode, from LeRobot's metadata. Raises DatasetError."""
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
    """The records of the existing episodes, after a check of their lengths."""
    records = read_records(root)
    if not records:
        return {}
    lengths = episode_lengths(root)
    kept = {index: record for index, record in records.items() if index < len(lengths)}
    for index, record in kept.items():
        if record.frames != lengths[index]:
            raise DatasetError(
                f"{root / SIDE_TABLE} says that episode {index} has {record.frames} frames, the dataset says "
                f"{lengths[index]}. Another program has removed episodes without updating this table; use "
                "`dit_policy inspect --delete` next time. Remove the table to train without flags"
            )
    return kept

# SPDX-License-Identifier: Apache-2.0
"""Which frames and episodes of a dataset training should leave out. Needs neither LeRobot nor torch."""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset._episode_columns import metadata_files, read_columns
from dit_policy_ros.data.dataset._side_table import LOST_STREAM, SIDE_TABLE, EpisodeRecord, read_records


def flagged_frames(root: Path | str, streams: Collection[str] | None = None) -> dict[int, NDArray[np.int64]]:
    """Frames that repeat an old sample, by episode. Episodes without such frames are left out.

    Args:
        root: the dataset's folder.
        streams: consider only these streams; None considers all.

    Returns:
        Increasing frame numbers by episode index, counted as in LeRobot's `frame_index`. Empty for a dataset
        that another program recorded. All frames of an episode whose flags are lost.

    Raises:
        DatasetError: the side table is damaged or does not match the episodes.
    """
    flagged = {index: record.flagged(streams) for index, record in episode_records(Path(root)).items()}
    return {index: frames for index, frames in flagged.items() if len(frames)}


def failed_episodes(root: Path | str) -> dict[int, tuple[str, ...]]:
    """Episodes that failed their check, with the reasons. Raises DatasetError like `flagged_frames`."""
    records = episode_records(Path(root)).items()
    return {index: record.reasons for index, record in records if not record.passed}


def failed_by_operator(root: Path | str) -> frozenset[int]:
    """Episodes that the operator labelled failures. Raises DatasetError like `flagged_frames`."""
    return frozenset(
        index for index, record in episode_records(Path(root)).items() if record.success is False
    )


def episode_lengths(root: Path) -> list[int]:
    """Number of frames of each episode, from LeRobot's metadata. Raises DatasetError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        total = int(json.loads((root / "meta" / "info.json").read_text())["total_episodes"])
        lengths: dict[int, int] = {}
        for path in metadata_files(root):
            table = pq.read_table(path, columns=["episode_index", "length"]).to_pydict()
            lengths |= dict(zip(table["episode_index"], table["length"], strict=True))
        return [lengths[index] for index in range(total)]
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise DatasetError(f"dataset {root}: its episodes cannot be read: {error!r}") from error


def episode_records(root: Path) -> dict[int, EpisodeRecord]:
    """What is known about the existing episodes, by index: of the side table, or else of LeRobot's metadata.

    Raises DatasetError if the side table is damaged, or belongs to other episodes and the metadata do not
    have what it said.
    """
    records = read_records(root)
    if not records and not (root / "meta" / "info.json").is_file():
        return {}
    lengths, stored = episode_lengths(root), read_columns(root)
    kept = {index: record for index, record in records.items() if index < len(lengths)}
    for index, record in kept.items():
        if record.frames != lengths[index] and not stored:
            raise DatasetError(
                f"{root / SIDE_TABLE} says that episode {index} has {record.frames} frames, the dataset says "
                f"{lengths[index]}. Another program has removed episodes without updating this table; use "
                "`dit_policy inspect --delete` next time. Remove the table to train without flags"
            )
    fitting = all(record.frames == lengths[index] for index, record in kept.items())
    return {index: record for index, record in stored.items() if index < len(lengths)} | (
        kept if fitting else {}
    )


def record_notices(root: Path) -> tuple[str, ...]:
    """What one should know if the side table is lost. Raises DatasetError like `flagged_frames`."""
    records, table = episode_records(root), read_records(root)
    lost = sorted(index for index, record in records.items() if table.get(index) != record)
    if not lost:
        return ()
    spoilt = [index for index in lost if LOST_STREAM in records[index].repeated]
    said = (
        f"another program has edited the dataset, and {SIDE_TABLE} is lost for {len(lost)} episodes. Their "
        f"labels and checks come from LeRobot's metadata"
    )
    if spoilt:
        said += (
            f"; which frames were flagged is not known, so episodes {', '.join(map(str, spoilt))} are left "
            f"out whole (--use-flagged trains on them). `dit_policy inspect --delete` keeps the flags"
        )
    return (said,)

# SPDX-License-Identifier: Apache-2.0
"""Label and check of an episode in LeRobot's own metadata, where LeRobot's editing keeps them.

LeRobot's tools know nothing of the side table: an edited or merged dataset has none. They do keep the columns
of an episode's statistics. So label, check and share of flagged frames are also stored as the statistics of
a feature that no frame has. Which frames were flagged, and why a check failed, is in the side table alone.
"""

import contextlib
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dit_policy_ros.core.atomic_files import write_atomically
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.core.problems import show
from dit_policy_ros.data.dataset._side_table import LOST_STREAM, EpisodeRecord

_FEATURE = "recorder"
_STATISTICS = ("min", "max", "mean", "std", "count")  # those that LeRobot needs to aggregate a feature
_LABELS = {True: 1.0, False: 0.0, None: -1.0}
EPISODE_COLUMNS = tuple(f"stats/{_FEATURE}/{name}" for name in _STATISTICS)


def to_columns(record: EpisodeRecord) -> dict[str, list[float] | list[int]]:
    """The columns of one episode: success (1, 0, or -1 without a label), passed, share of flagged frames."""
    values = [_LABELS[record.success], float(record.passed), len(record.flagged()) / record.frames]
    found: dict[str, list[float] | list[int]] = dict.fromkeys(EPISODE_COLUMNS, values)
    found[f"stats/{_FEATURE}/std"] = [0.0] * len(values)
    found[f"stats/{_FEATURE}/count"] = [record.frames]
    return found


def metadata_files(root: Path) -> list[Path]:
    """The files of LeRobot's metadata of the episodes, in order."""
    return sorted((root / "meta" / "episodes").glob("*/*.parquet"))


def have_columns(root: Path) -> bool:
    """Whether each file of the metadata has the columns. LeRobot refuses files with columns that the first
    one lacks, so they are added to a dataset that has had them from its first episode on, or to a new one."""
    import pyarrow.parquet as parquet

    return all(set(EPISODE_COLUMNS) <= set(parquet.read_schema(path).names) for path in metadata_files(root))


@contextlib.contextmanager
def editable(root: Path, place: Path) -> Iterator[Path]:
    """A folder from which LeRobot can edit the dataset: the dataset's own, if possible.

    LeRobot edits no dataset of which only some episodes have a column (after it appended to ours, or merged
    ours with others), and none whose rows name another file of metadata than theirs (after it merged datasets
    of several). Then the folder is ``place``, with links to the data and mended metadata without our columns;
    it is removed afterwards.
    """
    import pyarrow.parquet as parquet

    tables = {path: parquet.read_table(path) for path in metadata_files(root)}
    mixed = len({set(EPISODE_COLUMNS) <= set(table.column_names) for table in tables.values()}) > 1
    if not mixed and all(_is_editable(path, table) for path, table in tables.items()):
        yield root
        return
    shutil.rmtree(place, ignore_errors=True)
    try:
        for path in (path for path in root.rglob("*") if path.is_file()):
            target = place / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path in tables:
                parquet.write_table(_mended(path, tables[path]), target)
            else:
                target.symlink_to(path.absolute())
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _file_numbers(path: Path) -> dict[str, int]:
    """The columns in which a row names its file of metadata, and what is right for this file."""
    numbers = (int(path.parent.name.removeprefix("chunk-")), int(path.stem.removeprefix("file-")))
    return dict(zip(("meta/episodes/chunk_index", "meta/episodes/file_index"), numbers, strict=True))


def _is_editable(path: Path, table: Any) -> bool:
    has_all = all(name in table.column_names and not table[name].null_count for name in EPISODE_COLUMNS)
    has_none = not set(EPISODE_COLUMNS) & set(table.column_names)
    numbers = _file_numbers(path).items()
    return (has_all or has_none) and all(set(table[key].to_pylist()) == {number} for key, number in numbers)


def _mended(path: Path, table: Any) -> Any:
    import pyarrow as pa

    for name in set(EPISODE_COLUMNS) & set(table.column_names):
        table = table.drop_columns([name])
    for name, number in _file_numbers(path).items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array([number] * table.num_rows, table[name].type))
    return table


def read_columns(root: Path) -> dict[int, EpisodeRecord]:
    """The records that LeRobot's metadata hold, by episode. Raises DatasetError."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    mean, found = f"stats/{_FEATURE}/mean", dict[int, EpisodeRecord]()
    for path in metadata_files(root):
        try:
            if mean not in parquet.read_schema(path).names:
                continue
            rows = parquet.read_table(path, columns=["episode_index", "length", mean]).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"{path} is damaged: {error}") from error
        for row in rows:
            values = row[mean]
            if values is None:  # LeRobot has merged in an episode of another program
                continue
            if not (isinstance(values, list) and len(values) == 3 and all(map(_is_finite, values))):
                raise DatasetError(
                    f"{path} is damaged: {mean} of episode {row['episode_index']}: expected 3 numbers, got "
                    f"{show(values)}"
                )
            found[row["episode_index"]] = _record(row, values)
    return found


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def write_columns(root: Path, records: Mapping[int, EpisodeRecord]) -> None:
    """Writes these records into the metadata files that have the columns. Raises OSError."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    for path in metadata_files(root):
        table = parquet.read_table(path)
        numbers = table["episode_index"].to_pylist()
        if not set(EPISODE_COLUMNS) <= set(table.column_names) or not set(numbers) & set(records):
            continue
        for name in EPISODE_COLUMNS:
            values = table[name].to_pylist()
            for row, number in enumerate(numbers):
                if number in records:
                    values[row] = to_columns(records[number])[name]
            at = table.schema.get_field_index(name)
            table = table.set_column(
                at, table.schema.field(at), pa.array(values, table.schema.field(at).type)
            )
        write_atomically(path, lambda partial, table=table: parquet.write_table(table, partial), durable=True)


def _record(row: Mapping[str, Any], values: Sequence[float]) -> EpisodeRecord:
    """The record of an episode whose line in the side table is lost."""
    label, passed, flagged = values
    reasons = [] if passed else ["the check failed; the reasons were in the lost side table"]
    if flagged:
        reasons.append(f"{flagged:.0%} of its frames were flagged; which ones is lost with the side table")
    frames = row["length"]
    return EpisodeRecord(
        episode_index=row["episode_index"],
        frames=frames,
        success=None if label < 0 else label > 0,
        passed=bool(passed),
        reasons=tuple(reasons),
        repeated={LOST_STREAM: ((0, frames - 1),)} if flagged else {},
    )

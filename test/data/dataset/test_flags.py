# SPDX-License-Identifier: Apache-2.0
"""The side table: written and read back, flagged frames, and edits by other programs."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
import pyarrow as pa
import pyarrow.parquet as pq

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import (
    SIDE_TABLE,
    EpisodeRecord,
    failed_episodes,
    flagged_frames,
    format_records,
    read_records,
    to_spans,
)


def dataset(root: Path, lengths: list[int], records: list[EpisodeRecord]) -> Path:
    """The parts of a LeRobot dataset that the flags need."""
    folder = root / "meta" / "episodes" / "chunk-000"
    folder.mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps({"total_episodes": len(lengths)}))
    table = pa.table({"episode_index": list(range(len(lengths))), "length": lengths})
    pq.write_table(table, folder / "file-000.parquet")
    (root / SIDE_TABLE).write_text(format_records(records))
    return root


RECORD = EpisodeRecord(
    episode_index=1,
    frames=20,
    success=False,
    passed=False,
    reasons=("wrist: 6 of 20 frames are missing",),
    repeated={"wrist": ((2, 5), (9, 10)), "joint_states": ((4, 7),)},
    recorded_ns=123,
    figures={"fps": 29.5},
)


def test_records_are_read_back_as_written(tmp_path) -> None:
    root = dataset(tmp_path, [5, 20], [RECORD, EpisodeRecord(0, 5)])
    assert read_records(root) == {0: EpisodeRecord(0, 5), 1: RECORD}


def test_flagged_frames_are_the_union_of_the_streams(tmp_path) -> None:
    root = dataset(tmp_path, [5, 20, 8], [RECORD, EpisodeRecord(0, 5)])
    flagged = flagged_frames(root)
    assert list(flagged) == [1]
    np.testing.assert_array_equal(flagged[1], [2, 3, 4, 5, 6, 7, 9, 10])
    assert failed_episodes(root) == {1: RECORD.reasons}


def test_a_dataset_without_a_side_table_has_nothing_flagged(tmp_path) -> None:
    assert flagged_frames(tmp_path) == {} == failed_episodes(tmp_path)


def test_lines_of_episodes_that_were_not_committed_are_ignored(tmp_path) -> None:
    assert flagged_frames(dataset(tmp_path, [5], [EpisodeRecord(0, 5), RECORD])) == {}


def test_a_table_that_does_not_match_the_episodes_is_refused(tmp_path) -> None:
    root = dataset(tmp_path, [5, 19], [RECORD])
    with pytest.raises(DatasetError, match=r"episode 1 has 20 frames, the dataset says 19.*inspect --delete"):
        flagged_frames(root)


def test_the_error_for_a_damaged_table_names_the_line(tmp_path) -> None:
    root = dataset(tmp_path, [5, 20], [RECORD])
    with (root / SIDE_TABLE).open("a") as file:
        file.write('{"episode_index": 2')
    with pytest.raises(DatasetError, match=r"recorder.jsonl, line 2 is damaged"):
        flagged_frames(root)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("episode_index", value) for value in (-3, "0", 1.0, True)),
        *(("frames", value) for value in (-6, 0, "20", 20.0)),
        *(("success", value) for value in ("maybe", 1, [])),
        *(("passed", value) for value in (1, None, "yes")),
        *(("reasons", value) for value in ([5], None)),
        *(("repeated", value) for value in ({"top": [[-3, 2]]}, {"top": [[4, 20]]}, {"top": [[5, 4]]}, [])),
        *(("recorded_ns", value) for value in ("now", None)),
        *(("figures", value) for value in ([], "x")),
    ],
)
def test_a_value_that_the_recorder_never_writes_is_refused(tmp_path, name: str, value: object) -> None:
    root = dataset(tmp_path, [5, 20], [RECORD])
    line = json.loads((root / SIDE_TABLE).read_text())
    (root / SIDE_TABLE).write_text(json.dumps(line | {name: value}) + "\n")
    with pytest.raises(DatasetError, match=r"recorder.jsonl, line 1 is damaged"):
        flagged_frames(root)


@pytest.mark.parametrize(
    ("frames", "spans"),
    [([], ()), ([3], ((3, 3),)), ([0, 1, 2, 5, 7, 8], ((0, 2), (5, 5), (7, 8)))],
)
def test_spans(frames: list[int], spans: tuple) -> None:
    assert to_spans(frames) == spans
    record = EpisodeRecord(0, 10, repeated={"top": spans})
    assert record.flagged().tolist() == frames

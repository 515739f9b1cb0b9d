# SPDX-License-Identifier: Apache-2.0
"""Tables that do not agree with one another are refused: rows would get other pictures, labels or speeds."""

import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed: datasets can be neither written nor read")
from dataset_shapes import ABC, ACTION, FRAMES, STATE, TOP, write_shape

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import (
    SampleReader,
    episode_records,
    episode_rows,
    plot_episodes,
    read_demonstrations,
    read_episode,
)

ROWS = 2 * FRAMES


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("row_check")
    return lambda name: folder / name if (folder / name).exists() else write_shape(folder / name, name)


@pytest.fixture
def usual(written: Callable[[str], Path], tmp_path: Path) -> Path:
    return shutil.copytree(written("usual"), tmp_path / "usual")


@pytest.fixture
def with_images(written: Callable[[str], Path], tmp_path: Path) -> Path:
    return shutil.copytree(written("image"), tmp_path / "image")


def rewrite(root: Path, folder: str, **columns: list[Any]) -> None:
    """Replace columns of a dataset's only table below a folder."""
    (path,) = sorted((root / folder).glob("*/*.parquet"))
    table = parquet.read_table(path)
    for name, values in columns.items():
        at = table.schema.get_field_index(name.replace("__", "."))
        field = table.schema.field(at)
        kind = field.type if len(values) and not isinstance(values[0], list) else None
        table = table.set_column(at, field.name, pa.array(values, kind))
    parquet.write_table(table, path)


def change(root: Path, file: str, edit: Callable[[dict[str, Any]], object]) -> None:
    path = root / "meta" / file
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


IN_THE_ROWS: dict[str, tuple[dict[str, list[Any]], str]] = {
    "two rows with one index": ({"index": [0, 0, *range(2, ROWS)]}, "several rows have the index 0"),
    "other bounds": (
        {"episode_index": [0] * 4 + [1] * 8},
        r"row 4 is of episode 1, and of episode 0 by meta/episodes",
    ),
    "mixed episodes": ({"episode_index": [0, 1] * FRAMES}, "row 1 is of episode 1"),
    "one time": ({"timestamp": [0.0] * ROWS}, r"times \(timestamp\) of episode 0 go from 0 s to 0 s"),
    "times back": ({"timestamp": [0.5, 0.4, 0.3, 0.2, 0.1, 0.0] * 2}, "go from 0.5 s to 0 s; expected them"),
    "no times": ({"timestamp": [float("nan")] * ROWS}, "go from nan s to nan s"),
    "another rate": ({"timestamp": [0.05 * k for k in range(6)] * 2}, "rows are 0.05 s apart, and .* fps 10"),
}


@pytest.mark.parametrize("case", IN_THE_ROWS)
def test_rows_that_contradict_the_metadata_are_refused(usual: Path, case: str) -> None:
    columns, message = IN_THE_ROWS[case]
    rewrite(usual, "data", **columns)
    with pytest.raises(DatasetError, match=message):
        read_demonstrations(usual, stream=True)


def test_an_image_of_a_repeated_index_is_not_black(with_images: Path) -> None:
    rewrite(with_images, "data", index=[0, 0, *range(2, ROWS)])
    with pytest.raises(DatasetError, match="several rows have the index 0"):
        read_demonstrations(with_images)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"episode_index": [1, 0]}, "row 0: expected episode 0 with the rows from 0 on, got episode 1"),
        (
            {"dataset_from_index": [0, 0], "dataset_to_index": [6, 6]},
            "row 1: expected episode 1 with .* 6 on",
        ),
        ({"length": [4, 8]}, "row 0: expected episode 0 .* with 4 rows, 0 to 6"),
        ({"length": [6, 5], "dataset_to_index": [6, 11]}, "has 2 episodes with 11 rows, .* says 2 with 12"),
    ],
)
def test_metadata_out_of_order_are_refused(usual: Path, columns: Any, message: str) -> None:
    rewrite(usual, "meta/episodes", **columns)
    for read in (read_demonstrations, lambda root: SampleReader(root, [], 1, 2)):
        with pytest.raises(DatasetError, match=message):
            read(usual)


def test_diagnose_refuses_the_same_rows(usual: Path) -> None:
    rewrite(usual, "data", episode_index=[0] * 4 + [1] * 8)
    with pytest.raises(DatasetError, match="row 4 is of episode 1"):
        SampleReader(usual, [], 1, 2)


def test_gaps_in_the_index_and_jitter_of_the_times_are_no_fault(usual: Path) -> None:
    jitter = [k / 10 + 0.01 * (k % 2) for k in range(FRAMES)]
    rewrite(usual, "data", index=[*range(100, 103), *range(110, 119)], timestamp=jitter * 2)
    assert len(read_demonstrations(usual).state) == ROWS


@pytest.mark.parametrize("entries", [4, 7])
def test_rows_of_another_length_than_stated_are_refused(usual: Path, entries: int) -> None:
    rewrite(usual, "data", observation__state=[[0.5] * entries for _ in range(ROWS)])
    with pytest.raises(DatasetError, match=f"rows of {STATE} have {entries} entries, meta/info.json says 6"):
        read_demonstrations(usual)


TASKS = {
    "a gap": ([0, 2], ["a", "b"], "expected an instruction .* from 0 to 1, each once"),
    "one number twice": ([0, 0], ["a", "b"], "each once"),
    "no texts": ([0], [7], "expected an instruction"),
    "nothing": ([0], [None], "expected an instruction"),
}


@pytest.mark.parametrize("case", TASKS)
def test_instructions_without_their_numbers_are_refused(usual: Path, case: str) -> None:
    numbers, names, message = TASKS[case]
    table = pd.DataFrame({"task_index": numbers}, index=pd.Index(names, name="task", dtype=object))
    table.to_parquet(usual / "meta" / "tasks.parquet")
    with pytest.raises(DatasetError, match=message):
        read_demonstrations(usual)


def test_instructions_in_any_order_keep_their_numbers(usual: Path) -> None:
    table = pd.DataFrame({"task_index": [1, 0]}, index=pd.Index(["second", "first"], name="task"))
    table.to_parquet(usual / "meta" / "tasks.parquet")
    assert read_demonstrations(usual).tasks == ("first", "second")


STATISTICS: dict[str, tuple[Callable[[Any], object], str]] = {
    "of other rows": (
        lambda s: s[STATE].update(min=[100.0] * 6, max=[101.0] * 6),
        "entry 0 .* from 100 to 101",
    ),
    "of a smaller range": (lambda s: s[ACTION]["max"].__setitem__(3, 0.2), "entry 3 of action is from"),
    "not finite": (lambda s: s[STATE].update(min=[float("nan")] * 6), "min: expected finite numbers"),
    "text": (lambda s: s[STATE].update(min="abc"), "min: expected "),
    "a list": (lambda s: s.update({STATE: [1, 2]}), "expected statistics by name"),
    "images in bytes": (lambda s: s[TOP].update(mean=[[[120.0]]] * 3), "expected a number from 0 to 1"),
    "images flat": (lambda s: s[TOP].update(mean=[0.5]), r"of shape \(3, 1, 1\)"),
}


@pytest.mark.parametrize("case", STATISTICS)
def test_statistics_that_do_not_fit_the_rows_are_refused(
    written: Callable[[str], Path], usual: Path, case: str
) -> None:
    edit, message = STATISTICS[case]
    change(usual, "stats.json", edit)
    for roots in (usual, [usual, written("usual")]):
        with pytest.raises(DatasetError, match=rf"(?s)usual: meta/stats.json.*{message}.*recompute_stats"):
            read_demonstrations(roots, keep_images=False)


def test_several_datasets_need_the_counts_of_their_statistics(
    written: Callable[[str], Path], usual: Path
) -> None:
    change(usual, "stats.json", lambda stats: stats[STATE].pop("count"))
    assert len(read_demonstrations(usual).state) == ROWS
    with pytest.raises(DatasetError, match=f"{STATE} lacks count"):
        read_demonstrations([usual, written("usual")])


def line(index: int, **values: Any) -> str:
    known = {"episode_index": index, "frames": FRAMES, "success": None, "passed": True, "reasons": []}
    known |= {"repeated": {}, "recovered": False, "recorded_ns": 0, "figures": {}} | values
    return json.dumps({name: value for name, value in known.items() if value != "missing"})


SIDE_TABLES = {
    "an episode twice": (
        "\n".join([line(0, passed=False), line(0)]),
        "line 2 is damaged .*episode 0 comes twice",
    ),
    "reasons as a text": (line(0, passed=False, reasons="it fell"), "line 1 is damaged .*reasons"),
    "half frames": (line(0, repeated={"top": [[0.5, 2.9]]}), "frames 0.5 to 2.9"),
    "truths as frames": (line(0, repeated={"top": [[False, True]]}), "frames False to True"),
    "no result of the check": (line(0, passed="missing"), "KeyError.'passed'"),
    "no label": (line(0, success="missing"), "KeyError.'success'"),
    "no text": (b"\xff\xfe\n", "recorder.jsonl cannot be read"),
}


@pytest.mark.parametrize("case", SIDE_TABLES)
def test_a_side_table_that_could_hide_a_failure_is_refused(tmp_path: Path, case: str) -> None:
    content, message = SIDE_TABLES[case]
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "recorder.jsonl").write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    with pytest.raises(DatasetError, match=message):
        episode_records(tmp_path)


def test_a_side_table_that_is_no_file_is_not_taken_for_none(tmp_path: Path) -> None:
    place = tmp_path / "meta" / "recorder.jsonl"
    place.mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"recorder\.jsonl cannot be read"):
        episode_records(tmp_path)
    place.rmdir()
    place.symlink_to(tmp_path / "nowhere")  # as in a copy without its blobs
    with pytest.raises(DatasetError, match=r"recorder\.jsonl cannot be read"):
        episode_records(tmp_path)


def test_labels_in_the_metadata_are_three_numbers(usual: Path) -> None:
    (path,) = sorted((usual / "meta" / "episodes").glob("*/*.parquet"))
    table = parquet.read_table(path)
    for values in ([1.0, 0.0], [float("nan"), 1.0, 0.0]):
        column = pa.array([[1.0, 1.0, 0.0], values])
        parquet.write_table(table.append_column("stats/recorder/mean", column), path)
        with pytest.raises(DatasetError, match="stats/recorder/mean of episode 1: expected 3 numbers"):
            episode_records(usual)


def test_pictures_of_more_than_8_bits_are_refused_not_made_white(with_images: Path) -> None:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(np.full((48, 64), 30000, np.uint16)).save(file, "PNG")
    (path,) = sorted((with_images / "data").glob("*/*.parquet"))
    table = parquet.read_table(path)
    at = table.schema.get_field_index(TOP)
    cells = pa.array([{"bytes": file.getvalue(), "path": None}] * ROWS, table.schema.field(at).type)
    parquet.write_table(table.set_column(at, table.schema.field(at), cells), path)
    for stream in (False, True):
        with pytest.raises(DatasetError, match=r"more than 8 bits .*--cameras"):
            images = read_demonstrations(with_images, stream=stream).images["top"]
            images[np.arange(2)]


@pytest.mark.parametrize("column", [STATE, "task_index"])
def test_a_column_that_is_missing_is_named_wherever_episodes_are_shown(
    usual: Path, tmp_path: Path, column: str
) -> None:
    (path,) = sorted((usual / "data").glob("*/*.parquet"))
    parquet.write_table(parquet.read_table(path).drop_columns([column]), path)
    for show in (
        lambda: plot_episodes(usual, episode_rows(usual), tmp_path / "figure.png"),
        lambda: list(read_episode(usual, 0).images()),
        lambda: SampleReader(usual, [], 1, 2).read(0),
    ):
        with pytest.raises(DatasetError, match=f"{usual} cannot be read"):
            show()


def test_positions_of_names_that_are_equal_say_nothing_of_the_order(usual: Path) -> None:
    change(usual, "info.json", lambda info: info["features"][STATE].update(names=dict.fromkeys(ABC, 0)))
    assert read_demonstrations(usual).state_names is None


def test_a_mark_of_a_depth_camera_is_true_or_false(usual: Path) -> None:
    change(usual, "info.json", lambda info: info["features"][TOP].update(info={"is_depth_map": "false"}))
    with pytest.raises(DatasetError, match=r"info\.is_depth_map: expected true or false, got 'false'"):
        read_demonstrations(usual)

# SPDX-License-Identifier: Apache-2.0
"""Merged datasets equal their parts: rows, images, labels, checks and flags; nothing is lost."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed: datasets cannot be written")
from tiny_dataset import JOINTS, write_tiny_dataset
from tiny_policy import TASKS

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import SIDE_TABLE, episode_records, read_demonstrations, read_records
from dit_policy_ros.data.description import check_readable
from dit_policy_ros.data.merging import merge_datasets, replace_dataset


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("parts")
    kinds = [(2, 12, TASKS), (1, 9, TASKS[::-1]), (3, 15, TASKS)]
    found = []
    for number, (episodes, length, tasks) in enumerate(kinds):
        found.append(write_tiny_dataset(place / str(number), episodes, length, seed=number, tasks=tasks))
    table = found[1] / SIDE_TABLE
    lines = [json.loads(line) for line in table.read_text().splitlines()]
    lines[0] |= {"passed": False, "reasons": ["too short"], "success": False, "repeated": {"cam0": [[3, 4]]}}
    table.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return found


def read(*folders: Path):
    return read_demonstrations(tuple(map(str, folders)), None, (32, 32))


def test_what_is_read_is_what_the_parts_held(parts: list[Path], tmp_path: Path) -> None:
    merge_datasets(parts, tmp_path / "all")
    one, several = read(tmp_path / "all"), read(*parts)
    assert len(one.state) == 2 * 12 + 9 + 3 * 15
    np.testing.assert_array_equal(one.state, several.state)
    np.testing.assert_array_equal(one.action, several.action)
    np.testing.assert_array_equal(one.images["cam0"], several.images["cam0"])
    assert [one.tasks[k] for k in one.task_index] == [several.tasks[k] for k in several.task_index]
    records = read_records(tmp_path / "all")
    assert sorted(records) == list(range(6))
    assert (records[2].passed, records[2].reasons, records[2].success) == (False, ("too short",), False)
    assert records[2].flagged().tolist() == [3, 4] and records[3].passed
    assert episode_records(tmp_path / "all") == records


@pytest.mark.slow
def test_a_merge_of_merges_is_the_merge(parts: list[Path], tmp_path: Path) -> None:
    merge_datasets(parts[:2], tmp_path / "first")
    merge_datasets([tmp_path / "first", parts[2]], tmp_path / "tree")
    merge_datasets(parts, tmp_path / "flat")
    tree, flat = read(tmp_path / "tree"), read(tmp_path / "flat")
    np.testing.assert_array_equal(tree.state, flat.state)
    np.testing.assert_array_equal(tree.images["cam0"], flat.images["cam0"])
    assert read_records(tmp_path / "tree") == read_records(tmp_path / "flat")


def test_the_recorder_extends_a_merged_dataset(parts: list[Path], tmp_path: Path) -> None:
    merge_datasets(parts, tmp_path / "all")
    write_tiny_dataset(tmp_path / "all", 1, 12)
    assert check_readable(tmp_path / "all")["total_episodes"] == 7
    assert len(read(tmp_path / "all").state) == 2 * 12 + 9 + 3 * 15 + 12


def test_a_merged_dataset_takes_the_place_of_the_old_one(parts: list[Path], tmp_path: Path) -> None:
    root = write_tiny_dataset(tmp_path / "set", 1, 12)
    merge_datasets([root, parts[0]], tmp_path / "merged")
    replace_dataset(root, tmp_path / "merged")
    assert check_readable(root)["total_episodes"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["set"] and not (root / "journal").exists()


def test_a_dataset_with_episodes_in_its_journal_is_not_replaced(parts: list[Path], tmp_path: Path) -> None:
    root = write_tiny_dataset(tmp_path / "set", 1, 12)
    (root / "journal" / "000000").mkdir(parents=True)
    merge_datasets([root, parts[0]], tmp_path / "merged")
    with pytest.raises(DatasetError, match="its journal holds episodes; settle them first"):
        replace_dataset(root, tmp_path / "merged")
    assert check_readable(root)["total_episodes"] == 1 and (root / "journal" / "000000").is_dir()


def test_datasets_that_do_not_fit_are_one_message(parts: list[Path], tmp_path: Path) -> None:
    other = write_tiny_dataset(tmp_path / "other", 1, 12, joints=JOINTS[:3])
    with pytest.raises(DatasetError, match=r"LeRobot could not merge 2 datasets into .*Same features"):
        merge_datasets([parts[0], other], tmp_path / "all")
    assert [path.name for path in tmp_path.iterdir()] == ["other"], "no half of a dataset is left"

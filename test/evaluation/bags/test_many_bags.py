# SPDX-License-Identifier: Apache-2.0
"""Many bags become on workers the dataset that they become one after the other, also when interrupted."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("lerobot", reason="lerobot is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from contracts import SMALL_MAPPING
from rosbags.rosbag2 import StoragePlugin
from small_bags import BEGIN, SECOND, messages, write_bag

from dit_policy_ros.cli.bag_to_dataset import main
from dit_policy_ros.data.dataset import read_demonstrations, read_records
from dit_policy_ros.data.description import check_readable
from dit_policy_ros.evaluation.bags import _many_bags

BAGS = 3  # each with two episodes


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("config") / "robot.yaml"
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": SMALL_MAPPING}}))
    return path


@pytest.fixture(scope="module")
def bags(tmp_path_factory) -> list[Path]:
    place = tmp_path_factory.mktemp("bags")
    return [
        write_bag(place / f"bag_{n}", StoragePlugin.MCAP, messages(begin_ns=BEGIN + n * 100 * SECOND))
        for n in range(BAGS)
    ]


@pytest.fixture(scope="module")
def one_by_one(config: Path, bags: list[Path], tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("one") / "set"
    for bag in bags:
        assert run(config, root, bag) == 0
    return root


def run(config: Path, dataset: Path, *arguments: str | Path) -> int:
    words = [*map(str, arguments), "--config", str(config), "--dataset", str(dataset)]
    return main([*words, "--topic", "/episode"])


def assert_same(one: Path, other: Path) -> None:
    for camera, size in (("top", (48, 64)), ("wrist", (32, 48))):
        first, second = (read_demonstrations((str(root),), (camera,), size) for root in (one, other))
        np.testing.assert_array_equal(first.images[camera], second.images[camera])
        np.testing.assert_array_equal(first.state, second.state)
        np.testing.assert_array_equal(first.action, second.action)
        np.testing.assert_array_equal(first.task_index, second.task_index)
    assert records(one) == records(other)


def records(root: Path) -> list:
    """The side table; of the figures only the source, because some depend on the computer's speed."""
    names = ("bag", "bag_start_ns")
    return [
        replace(record, figures={name: record.figures[name] for name in names})
        for record in read_records(root).values()
    ]


@pytest.mark.slow  # two processes import everything
def test_two_workers_make_the_dataset_of_one(
    config: Path, bags: list[Path], one_by_one: Path, tmp_path: Path, capsys
) -> None:
    assert run(config, tmp_path / "set", *bags, "--workers", "2") == 0
    assert "has 6 episodes" in " ".join(capsys.readouterr().out.split())
    assert_same(tmp_path / "set", one_by_one)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert run(config, tmp_path / "set", *bags) == 0
    assert check_readable(tmp_path / "set")["total_episodes"] == 6, "nothing is converted twice"


@pytest.mark.slow
def test_a_tree_of_merges_keeps_the_order(
    config: Path, bags: list[Path], one_by_one: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(_many_bags, "_MERGED_AT_ONCE", 2)
    assert run(config, tmp_path / "set", *bags) == 0
    assert_same(tmp_path / "set", one_by_one)


@pytest.mark.parametrize(
    "where",
    [
        pytest.param("between bags", marks=pytest.mark.slow),
        pytest.param("before the merge", marks=pytest.mark.slow),
        "before the parts are removed",
    ],
)
def test_an_interrupted_conversion_goes_on(
    config: Path, bags: list[Path], one_by_one: Path, tmp_path: Path, monkeypatch, where: str
) -> None:
    convert, done = _many_bags.convert_bag, []

    def interrupt(*arguments) -> None:
        raise KeyboardInterrupt

    def convert_two(job):
        if len(done) == 2:
            interrupt()
        done.append(job.bag.name)
        return convert(job)

    if where == "between bags":
        monkeypatch.setattr(_many_bags, "convert_bag", convert_two)
    elif where == "before the merge":
        monkeypatch.setattr(_many_bags, "merge_datasets", interrupt)
    else:
        monkeypatch.setattr(shutil, "rmtree", _interrupt_at_parts(shutil.rmtree))
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "set", *bags)
    monkeypatch.undo()
    assert (tmp_path / "set.parts").is_dir()
    assert run(config, tmp_path / "set", *bags) == 0
    assert_same(tmp_path / "set", one_by_one)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def _interrupt_at_parts(remove):
    def rmtree(path, *arguments, **options):
        if Path(path).parent.name == "set.parts" and Path(path).name.startswith("bag_"):
            raise KeyboardInterrupt
        return remove(path, *arguments, **options)

    return rmtree


def test_a_bag_that_cannot_be_read_stops_no_other(
    config: Path, bags: list[Path], tmp_path: Path, capsys
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    assert run(config, tmp_path / "set", bags[0], broken, bags[1]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "broken cannot be read" in printed and "has 4 episodes" in printed
    assert run(config, tmp_path / "none", broken, tmp_path / "nowhere") == 1
    assert not (tmp_path / "none").exists() and not (tmp_path / "none.parts").exists()


def test_parts_of_other_settings_are_not_mixed(
    config: Path, bags: list[Path], tmp_path: Path, monkeypatch, capsys
) -> None:
    def interrupt(*arguments) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_many_bags, "merge_datasets", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "set", *bags[:2])
    monkeypatch.undo()
    words = [*map(str, bags[:2]), "--config", str(config), "--dataset", str(tmp_path / "set")]
    assert main([*words, "--service-events", "/recorder"]) == 1
    assert "parts of an interrupted conversion with other where" in capsys.readouterr().err


def test_a_list_of_bags_is_read_from_a_file(config: Path, bags: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bags.txt").write_text("".join(f"{bag}\n" for bag in bags[:2]))
    assert run(config, tmp_path / "set", f"@{tmp_path / 'bags.txt'}") == 0
    assert check_readable(tmp_path / "set")["total_episodes"] == 4


def test_times_of_one_bag_are_refused_for_several(
    config: Path, bags: list[Path], tmp_path: Path, capsys
) -> None:
    words = [*map(str, bags), "--config", str(config), "--dataset", str(tmp_path / "set")]
    with pytest.raises(SystemExit):
        main([*words, "--episode", "1", "2", "pull"])
    assert "its times are of one bag" in capsys.readouterr().err

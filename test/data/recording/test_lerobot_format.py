# SPDX-License-Identifier: Apache-2.0
"""Our commits have the format of LeRobot's own writer, and LeRobot's programs can extend them."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")
import pyarrow.parquet as pq
from episodes import SPEC, add, assert_holds, extend_by_lerobot, lerobot_frame, load, make

from dit_policy_ros.data.video import VideoSettings

TASKS = ("touch the cube", "touch the ball")
LENGTHS = (7, 5)


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("ours") / "dataset"
    writer = make(root)
    for episode, (task, length) in enumerate(zip(TASKS, LENGTHS, strict=True)):
        add(writer, episode, length, task)
        writer.save_episode()
    writer.finalize()
    return root


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> Path:
    """The same frames, written by LeRobot."""
    from lerobot.datasets import LeRobotDataset

    from dit_policy_ros.data.lerobot_calls import quiet_lerobot

    root = tmp_path_factory.mktemp("theirs") / "dataset"
    with quiet_lerobot():
        common = {
            "robot_type": "toy",
            "rgb_encoder": VideoSettings().lerobot_config(),
            "streaming_encoding": True,
        }
        features = SPEC.features()
        dataset = LeRobotDataset.create("local/test", fps=30, root=root, features=features, **common)
        for episode, (task, length) in enumerate(zip(TASKS, LENGTHS, strict=True)):
            for index in range(length):
                dataset.add_frame(lerobot_frame(episode, index, task))
            dataset.save_episode()
        dataset.finalize()
    return root


def table(root: Path, folder: str):
    return pq.ParquetDataset(sorted((root / folder).glob("*/*.parquet"))).read()


def test_the_rows_of_frames_are_the_same(ours: Path, theirs: Path) -> None:
    mine, other = table(ours, "data"), table(theirs, "data")
    assert mine.schema.equals(other.schema)
    described = [json.loads(one.schema.metadata[b"huggingface"])["info"]["features"] for one in (mine, other)]
    assert described[0] == described[1]
    assert mine.to_pylist() == other.to_pylist()


def test_the_rows_of_episodes_are_the_same_except_for_the_file_numbers(ours: Path, theirs: Path) -> None:
    mine, other = table(ours, "meta/episodes"), table(theirs, "meta/episodes")
    added = {f"stats/recorder/{name}" for name in ("min", "max", "mean", "std", "count")}
    assert set(mine.schema.names) - added == set(other.schema.names)
    for name in set(mine.schema.names) - added:
        assert mine.schema.field(name).type == other.schema.field(name).type, name
        if name.endswith(("chunk_index", "file_index", "_timestamp")):
            continue
        if "images" in name and name.endswith(
            "/count"
        ):  # in images; LeRobot's streaming encoder counts pixels
            assert [count for (count,) in mine[name].to_pylist()] == mine["length"].to_pylist()
            continue
        for a, b in zip(mine[name].to_pylist(), other[name].to_pylist(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=0.02) if name.startswith("stats") else None
            assert name.startswith("stats") or a == b, name


def test_the_description_and_the_statistics_are_the_same(ours: Path, theirs: Path) -> None:
    mine, other = (json.loads((root / "meta" / "info.json").read_text()) for root in (ours, theirs))
    assert mine == other
    mine, other = (json.loads((root / "meta" / "stats.json").read_text()) for root in (ours, theirs))
    assert mine.keys() == other.keys()
    for feature in mine:
        assert mine[feature].keys() == other[feature].keys()
        for name in mine[feature]:
            if "images" in feature and name == "count":
                assert mine[feature][name] == [sum(LENGTHS)]
                continue
            np.testing.assert_allclose(mine[feature][name], other[feature][name], rtol=1e-5, atol=0.02)


def test_lerobot_extends_our_datasets_and_we_extend_theirs(theirs: Path, tmp_path) -> None:
    import shutil

    root = Path(shutil.copytree(theirs, tmp_path / "dataset"))
    writer = make(root)
    assert writer.next_index == 2
    add(writer, 2, 4, TASKS[0])
    writer.save_episode()
    writer.finalize()
    extend_by_lerobot(root, 3, 3, TASKS[1])
    writer = make(root)
    add(writer, 0, 6, TASKS[1])
    assert writer.save_episode() == 4
    writer.finalize()
    assert load(root).num_episodes == 5
    lengths = [7, 5, 4, 3, 6]
    assert load(root).meta.episodes["length"][:] == lengths
    assert load(root).num_frames == sum(lengths)
    last = load(root)[sum(lengths) - 1]
    assert last["task"] == TASKS[1]
    np.testing.assert_allclose(last["observation.state"], [0, 5, 0.5])


def test_more_files_than_fit_one_chunk(ours: Path, tmp_path) -> None:
    import shutil

    root = Path(shutil.copytree(ours, tmp_path / "dataset"))
    info = json.loads((root / "meta" / "info.json").read_text())
    (root / "meta" / "info.json").write_text(json.dumps(info | {"chunks_size": 2}))
    writer = make(root)
    add(writer, 2, 4, TASKS[0])
    writer.save_episode()
    writer.finalize()
    assert (root / "data" / "chunk-001" / "file-000.parquet").is_file()
    assert_holds(root, {0: (7, TASKS[0]), 1: (5, TASKS[1]), 2: (4, TASKS[0])})

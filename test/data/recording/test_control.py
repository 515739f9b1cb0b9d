# SPDX-License-Identifier: Apache-2.0
"""Runs of a policy are recorded with who drove at each frame, as in LeRobot's own rollouts."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")
from episodes import SPEC, add, extend_by_lerobot, frame, load, make

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import episode_records, read_demonstrations
from dit_policy_ros.data.description import describe_dataset
from dit_policy_ros.data.recording import EpisodeOutcome, Recover

CONTROLLED = replace(SPEC, control=True)
DROVE = ["policy", "policy", "human", "human", "hold", "policy", "unknown"]


def record(writer, episode):
    for index, controller in enumerate(DROVE):
        writer.add_frame(**frame(episode, index), task="touch the cube", controller=controller)


@pytest.fixture
def root(tmp_path):
    writer = make(tmp_path / "dataset", CONTROLLED)
    record(writer, 0)
    writer.save_episode(EpisodeOutcome(success=True, figures={"policies": {"abc": "/checkpoint"}}))
    writer.finalize()
    return tmp_path / "dataset"


def test_lerobot_reads_who_drove(root):
    dataset = load(root)
    rows = [dataset[index] for index in range(len(DROVE))]
    assert [bool(row["intervention"]) for row in rows] == [name == "human" for name in DROVE]
    assert [row["controller"] for row in rows] == DROVE
    assert dataset.meta.features["intervention"] == {"dtype": "bool", "shape": (1,), "names": None}
    assert episode_records(root)[0].figures["policies"] == {"abc": "/checkpoint"}


def test_our_own_reading_of_the_rest_is_as_ever(root):
    description = describe_dataset(root)
    assert description.action is not None and len(description.cameras) == 2
    read = read_demonstrations([root], cameras=("top",))
    assert read.corrected is not None and read.corrected.tolist() == [name == "human" for name in DROVE]
    assert len(read.state) == len(DROVE)


def test_a_crash_loses_nothing(tmp_path):
    writer = make(tmp_path / "dataset", CONTROLLED)
    record(writer, 0)
    writer.finalize()  # without a decision, as after a crash
    make(tmp_path / "dataset", CONTROLLED, recover=Recover.KEEP).finalize()
    dataset = load(tmp_path / "dataset")
    assert [dataset[index]["controller"] for index in range(len(DROVE))] == DROVE


def test_a_dataset_has_who_drove_in_all_episodes_or_in_none(root, tmp_path):
    with pytest.raises(DatasetError, match="intervention: the dataset has it, the recorder's control_topic"):
        make(root, SPEC)
    plain = make(tmp_path / "plain")
    add(plain, 0, 3)
    plain.save_episode()
    plain.finalize()
    with pytest.raises(DatasetError, match="controller: the recorder's control_topic has it"):
        make(tmp_path / "plain", CONTROLLED)
    writer = make(root, CONTROLLED)
    with pytest.raises(ValueError, match="controller"):
        add(writer, 1, 1)
    writer.finalize()


def test_label_and_instruction_of_a_saved_episode_change(root):
    writer = make(root, CONTROLLED)
    record(writer, 1)
    writer.save_episode()
    writer.relabel(0, False, "push the cube")
    assert episode_records(root)[0].success is False
    with pytest.raises(DatasetError, match="expected episodes from 0 to 1, got 2"):
        writer.relabel(2, None, "push the cube")
    writer.relabel(0, None, "push the cube")  # once more changes nothing
    record(writer, 2)
    writer.save_episode()
    writer.finalize()
    dataset = load(root)
    tasks = [dataset[index]["task"] for index in (0, len(DROVE) - 1, len(DROVE), 3 * len(DROVE) - 1)]
    assert tasks == ["push the cube", "push the cube", "touch the cube", "touch the cube"]
    assert [list(row["tasks"]) for row in dataset.meta.episodes] == [
        ["push the cube"],
        ["touch the cube"],
        ["touch the cube"],
    ]
    assert dataset.meta.total_tasks == 2
    assert np.unique(dataset.hf_dataset["task_index"]).tolist() == [0, 1]


def test_the_instruction_changes_also_where_lerobot_wrote_the_episode(tmp_path):
    root = tmp_path / "dataset"
    writer = make(root)
    add(writer, 0, 3)
    writer.save_episode()
    writer.finalize()
    extend_by_lerobot(root, 1, 4, "touch the cube")
    writer = make(root)
    writer.relabel(1, None, "push the cube")
    writer.finalize()
    dataset = load(root)
    assert [dataset[index]["task"] for index in range(7)] == ["touch the cube"] * 3 + ["push the cube"] * 4

# SPDX-License-Identifier: Apache-2.0
"""Further vectors are recorded as features that LeRobot reads, and survive an interruption."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("lerobot", reason="lerobot is not installed")

from episodes import SPEC, frame, load, make

from dit_policy_ros.core.contract import Vector, VectorType
from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import read_demonstrations, read_records
from dit_policy_ros.data.description import describe_dataset
from dit_policy_ros.data.recording import Recover

WRENCH = Vector("wrench", "wrench", VectorType.WRENCH, ("force.x", "force.z", "torque.x"), 0.1)
CONTACT = Vector("contact", "contact", VectorType.FLOAT64_ARRAY, ("tip",), 0.1)
SPEC_WITH = replace(SPEC, vectors=(WRENCH, CONTACT))


def vectors(index: int) -> dict[str, np.ndarray]:
    return {"wrench": np.array([index, 2.0 * index, -1.0]), "contact": np.array([index / 10])}


def add(writer, episode: int, frames: int) -> None:
    for index in range(frames):
        repeated = ("wrench",) if index == 1 else ()
        writer.add_frame(**frame(episode, index), task="touch", repeated=repeated, vectors=vectors(index))


def test_lerobot_reads_them_with_names_and_statistics(tmp_path) -> None:
    root = tmp_path / "dataset"
    writer = make(root, SPEC_WITH)
    for episode in range(2):
        add(writer, episode, 4)
        writer.save_episode()
    writer.finalize()
    dataset = load(root)
    assert dataset.features["observation.wrench"]["names"] == ["force.x", "force.z", "torque.x"]
    assert dataset.features["observation.wrench"]["shape"] == (3,)
    for row in range(8):
        np.testing.assert_allclose(dataset[row]["observation.wrench"], vectors(row % 4)["wrench"])
        assert float(dataset[row]["observation.contact"]) == pytest.approx(row % 4 / 10)
    assert dataset.meta.stats["observation.wrench"]["max"].tolist() == [3.0, 6.0, -1.0]
    assert read_records(root)[0].repeated == {"wrench": ((1, 1),)}
    described = describe_dataset(root)
    assert [vector.names for vector in described.vectors] == [("force.x", "force.z", "torque.x"), ("tip",)]


def test_an_interrupted_episode_keeps_them(tmp_path) -> None:
    root = tmp_path / "dataset"
    writer = make(root, SPEC_WITH)
    add(writer, 0, 5)
    writer.finalize()
    make(root, SPEC_WITH, recover=Recover.KEEP).finalize()
    np.testing.assert_allclose(load(root)[3]["observation.wrench"], vectors(3)["wrench"])


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"wrench": np.array([1.0, np.nan, 0.0])}, DatasetError, "observation.wrench: .*force.z = nan"),
        ({"wrench": np.zeros(2)}, ValueError, r"observation.wrench: expected shape \(3,\)"),
        ({"other": np.zeros(2)}, ValueError, "vectors: expected wrench, contact, got"),
    ],
)
def test_a_bad_vector_is_refused_before_it_is_written(tmp_path, change, error, said: str) -> None:
    writer = make(tmp_path / "dataset", SPEC_WITH)
    with pytest.raises(error, match=said):
        writer.add_frame(**frame(0, 0), task="touch", vectors=vectors(0) | change)
    writer.finalize()


def test_a_dataset_with_other_vectors_is_not_extended(tmp_path) -> None:
    root = tmp_path / "dataset"
    writer = make(root, SPEC_WITH)
    add(writer, 0, 3)
    writer.save_episode()
    writer.finalize()
    with pytest.raises(DatasetError, match=r"observation.contact: the dataset has it, the contract does not"):
        make(root, replace(SPEC, vectors=(WRENCH,)))
    swapped = replace(WRENCH, entries=("force.z", "force.x", "torque.x"))
    with pytest.raises(DatasetError, match=r"observation.wrench names"):
        make(root, replace(SPEC, vectors=(swapped, CONTACT)))


def test_frames_that_repeat_a_vector_are_left_out_only_if_it_is_read(tmp_path) -> None:
    root = tmp_path / "dataset"
    writer = make(root, SPEC_WITH)
    add(writer, 0, 4)
    writer.save_episode()
    writer.finalize()
    assert not read_demonstrations(root, ("top",)).flagged.any()
    read = read_demonstrations(root, ("top",), vectors=("wrench",))
    assert read.flagged.tolist() == [False, True, False, False]

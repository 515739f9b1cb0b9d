# SPDX-License-Identifier: Apache-2.0
"""Features of a frozen encoder in files: computed once, used again, and never for what they are not of."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("lerobot", reason="lerobot is not installed: datasets can be neither written nor read")
from tiny_dataset import dataset_config, write_tiny_dataset
from tiny_demonstrations import tiny_demonstrations
from tiny_policy import random_policy, tiny_config, tiny_tokenizer

from dit_policy_ros.core.errors import DatasetError
from dit_policy_ros.data.dataset import FrameStore, _frame_store, read_demonstrations
from dit_policy_ros.policy.dit_policy import DiTPolicy
from dit_policy_ros.training.batches import BatchMaker, KeptFeatures
from dit_policy_ros.training.config import TrainConfig
from dit_policy_ros.training.trainer import Trainer


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_tiny_dataset(tmp_path / "set", episodes=3, length=8)


@pytest.fixture
def store(tmp_path: Path) -> FrameStore:
    return FrameStore(tmp_path / "store")


def kept(
    dataset: Path, policy: DiTPolicy, store: FrameStore | None, wanted: np.ndarray | None = None
) -> tuple[Tensor, int]:
    """The features, and how many images were encoded for them."""
    encoded = []
    maker = BatchMaker(read_demonstrations(dataset, keep_images=False), policy, tiny_tokenizer())
    features = maker.encode_frames(policy, wanted, lambda done, total: encoded.append(done), store)
    return features.parts[0], max(encoded, default=0)


def test_features_are_computed_once_and_are_those_of_memory(dataset: Path, store: FrameStore) -> None:
    policy = random_policy(dataset_config(n_obs_steps=2))
    in_memory, count = kept(dataset, policy, None)
    first, encoded = kept(dataset, policy, store)
    again, encoded_again = kept(dataset, policy, store)
    assert count == encoded == 24 and encoded_again == 0
    assert torch.equal(in_memory, first) and torch.equal(first, again)
    assert len(list((store.folder or Path()).glob("*.npy"))) == 1


@pytest.mark.parametrize("change", ["weights", "dataset", "frames", "statistics"])
def test_features_of_something_else_are_not_used(dataset: Path, store: FrameStore, change: str) -> None:
    policy, wanted = random_policy(dataset_config(n_obs_steps=2)), np.ones(24, bool)
    kept(dataset, policy, store)
    if change == "weights":
        vision = policy.observation_encoder.first_vision_encoder
        with torch.no_grad():
            next(vision.parameters()).add_(0.01)
    elif change == "dataset":
        (dataset / "meta" / "info.json").touch()
    elif change == "frames":
        wanted[3] = False
    maker = BatchMaker(read_demonstrations(dataset, keep_images=False), policy, tiny_tokenizer())
    if change == "statistics":
        stats = {key: {name: value.clone() for name, value in s.items()} for key, s in maker.stats.items()}
        (camera,) = policy.config.image_features
        stats[camera]["mean"] += 0.1
        maker = BatchMaker(maker.data, policy, tiny_tokenizer(), stats)
    expected, found = maker.encode_frames(policy, wanted), maker.encode_frames(policy, wanted, store=store)
    assert torch.equal(found.parts[0], expected.parts[0])


def test_a_disk_without_room_is_named(
    dataset: Path, store: FrameStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_frame_store, "free_disk", lambda folder: 10)
    with pytest.raises(DatasetError, match=r"frame store .*of images or their features, 0\.0 GB free"):
        kept(dataset, random_policy(dataset_config(n_obs_steps=2)), store)


def test_frames_of_no_dataset_are_in_memory(store: FrameStore) -> None:
    data = tiny_demonstrations()
    policy = random_policy(tiny_config())
    BatchMaker(data, policy, tiny_tokenizer()).encode_frames(policy, store=store)
    assert store.folder is not None and not store.folder.exists(), "nothing says what they are of"


def test_a_stride_encodes_what_its_examples_observe(dataset: Path) -> None:
    policy = random_policy(dataset_config(n_obs_steps=2))
    config = TrainConfig(vision_lr_multiplier=0.0, example_stride=4, steps=1, device="cpu", validation=0.0)
    maker = BatchMaker(read_demonstrations(dataset, keep_images=False), policy, tiny_tokenizer())
    counts = []
    trainer = Trainer(policy, maker, config, report_encoded=lambda done, total: counts.append(total))
    assert trainer.features is not None
    read = (trainer.features.rows >= 0).reshape(3, 8)
    assert (read == [True, False, False, True, True, False, False, False]).all() and counts[-1] == 9


def test_the_frames_of_several_arrays_follow_one_another() -> None:
    rng = np.random.default_rng(0)
    one, other = (torch.from_numpy(rng.normal(size=(count, 5))) for count in (3, 2))
    joined = KeptFeatures.joined(
        [
            KeptFeatures.of(one, np.array([True, False, True, True])),
            KeptFeatures.of(other, np.array([False, True, True])),
        ]
    )
    assert len(joined.rows) == 7
    frames = np.array([[0, 6], [5, 2]])
    expected = torch.stack([torch.stack([one[0], other[1]]), torch.stack([other[0], one[1]])])
    assert torch.equal(joined.of_frames(frames), expected)
    assert torch.equal(joined.between(4, 7).of_frames(np.array([2, 1])), other[[1, 0]])
    for missing in (1, 4):
        with pytest.raises(ValueError, match=f"frame {missing} were not encoded"):
            joined.of_frames(np.array([missing]))

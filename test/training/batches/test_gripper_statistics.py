# SPDX-License-Identifier: Apache-2.0
"""Grippers whose normalised actions are small, so that a warm start's noise covers them."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("lerobot", reason="lerobot is not installed: datasets can be neither written nor read")
from tiny_dataset import dataset_config, write_tiny_dataset
from tiny_policy import random_policy, tiny_tokenizer

from dit_policy_ros.core.lerobot_keys import ACTION_KEY
from dit_policy_ros.data.dataset import read_demonstrations
from dit_policy_ros.training.batches import BatchMaker, BatchOptions
from dit_policy_ros.training.batches._gripper_statistics import with_small_grippers
from dit_policy_ros.training.errors import TrainingError

JOINTS = ("a", "b", "c", "left_gripper")


def maker(folder: Path, scale: float, **arguments: object) -> BatchMaker:
    policy = random_policy(dataset_config())
    data = read_demonstrations(folder)
    return BatchMaker(data, policy, tiny_tokenizer(), options=BatchOptions(gripper_scale=scale), **arguments)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_dataset(tmp_path_factory.mktemp("data") / "set", joints=JOINTS)


def test_a_grippers_actions_become_smaller_and_come_back_as_they_were(dataset: Path) -> None:
    plain, small = maker(dataset, 1.0), maker(dataset, 10.0)
    raw = torch.from_numpy(plain.data.action)  # (M, A)
    before, now = (each.scales[ACTION_KEY].normalize(raw) for each in (plain, small))
    torch.testing.assert_close(now[:, :3], before[:, :3])
    torch.testing.assert_close(now[:, 3], before[:, 3] / 10)
    torch.testing.assert_close(small.scales[ACTION_KEY].unnormalize(now), raw)


def test_mean_and_spread_scale_alike() -> None:
    stats = {"mean": torch.tensor([1.0, 2.0]), "std": torch.tensor([0.5, 0.25]), "count": torch.tensor([7])}
    changed = with_small_grippers(stats, ("arm", "gripper"), 4.0)
    assert changed["mean"].tolist() == [1.0, 2.0] and changed["std"].tolist() == [0.5, 1.0]
    assert changed["count"].tolist() == [7] and stats["std"].tolist() == [0.5, 0.25]


def test_what_has_no_effect_is_refused(dataset: Path) -> None:
    with pytest.raises(TrainingError, match=r"checkpoint's statistics, got 10; give --statistics dataset"):
        maker(dataset, 10.0, stats=maker(dataset, 1.0).stats)
    for names, got in ((("arm", "hand"), "got arm, hand"), (None, "got no names")):
        with pytest.raises(TrainingError, match=f"gripper_scale: expected actions with 'gripper'.*{got}"):
            with_small_grippers({"std": torch.ones(2)}, names, 10.0)

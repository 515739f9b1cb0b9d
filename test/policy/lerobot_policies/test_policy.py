# SPDX-License-Identifier: Apache-2.0
"""A LeRobot policy does for the nodes what ours does: warm up, fit its steps, match names, be replayed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts import small_mapping
from tiny_lerobot import FPS, JOINTS, TASKS, TYPES, random_observation

from dit_policy_ros.core.contract import DatasetName, parse_contract
from dit_policy_ros.core.errors import CheckpointError, DitPolicyError
from dit_policy_ros.core.policy_interface import check_policy, match_policy
from dit_policy_ros.policy import load_policy

Saved = Callable[[str], Path]


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
def test_warming_up_leaves_the_random_numbers_alone(saved: Saved, kind: str) -> None:
    policy = load_policy(saved(kind))
    torch.manual_seed(2)
    expected = torch.rand(3)
    torch.manual_seed(2)
    latencies = policy.warm_up(2)
    assert latencies.shape == (2,) and (latencies > 0).all()
    assert torch.equal(torch.rand(3), expected)


def test_loading_leaves_the_random_numbers_alone(saved: Saved) -> None:
    folder = saved("diffusion")  # first: making one draws random numbers
    torch.manual_seed(2)
    expected = torch.rand(3)
    torch.manual_seed(2)
    load_policy(folder)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.slow
def test_fewer_sampling_steps_fit_a_latency(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = load_policy(saved("diffusion"))
    monkeypatch.setattr(policy, "warm_up", lambda n: np.full(n, 0.01 * policy.steps))
    assert policy.steps == 10
    assert policy.fit_steps(0.06, 3).steps == policy.steps == 5  # of 1, 2, 5 and 10, which cover the schedule
    images, state = random_observation(policy)
    policy.seed_sampling(1)
    chunk = policy.predict(images, state, TASKS[0])
    five = load_policy(saved("diffusion"), sampling_steps=5)
    five.seed_sampling(1)
    assert chunk.tobytes() == five.predict(images, state, TASKS[0]).tobytes()


def test_a_policy_without_steps_fits_or_does_not(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = load_policy(saved("act"))
    monkeypatch.setattr(policy, "warm_up", lambda n: np.full(n, 0.2))
    assert policy.fit_steps(0.3, 3).steps == 1
    with pytest.raises(DitPolicyError, match=r"max_latency.*act.*no sampling steps"):
        policy.fit_steps(0.1, 3)


def test_images_that_are_encoded_early_change_nothing(saved: Saved) -> None:
    policy = load_policy(saved("act"))
    images, state = random_observation(policy)
    chunk = policy.predict(images, state, TASKS[0])
    policy.encode(images)
    assert policy.predict(images, state, TASKS[0]).tobytes() == chunk.tobytes()


@pytest.mark.slow
def test_entries_are_matched_to_the_joints_by_name(saved: Saved) -> None:
    policy = load_policy(saved("diffusion"), assume_joints=("d.pos", "c", "b", "a"))
    robot = match_policy(policy, JOINTS, [DatasetName("d.pos", "d", 2.0, 0.1)])
    images, state = random_observation(policy)
    noise = np.random.default_rng(0).normal(size=(policy.horizon, 4)).astype(np.float32)
    own = state[:, ::-1].copy()  # as the policy has them: d.pos, c, b, a
    own[:, 0] = own[:, 0] * 2.0 + 0.1
    torch.manual_seed(0)
    expected = policy.predict(images, own, TASKS[0], noise[:, ::-1].copy())[:, ::-1].copy()
    expected[:, 3] = (expected[:, 3] - 0.1) / 2.0
    torch.manual_seed(0)
    np.testing.assert_allclose(robot.predict(images, state, TASKS[0], noise), expected, atol=1e-6)


def test_a_robot_that_does_not_fit_is_refused(saved: Saved) -> None:
    with pytest.raises(CheckpointError) as caught:
        check_policy(load_policy(saved("act")), parse_contract(small_mapping(), "test"))
    for part in ("state dimension", "assume_fps", "cameras.cam0"):
        assert part in str(caught.value)
    assert load_policy(saved("act"), assume_fps=FPS).fps == FPS

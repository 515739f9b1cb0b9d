# SPDX-License-Identifier: Apache-2.0
"""Block caching: schedules are optimal, are stored with the checkpoint, and are followed."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_policy import TASKS, random_observation, save_tiny, tiny_config

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.inference import DiTRuntime, calibrate, write_schedule
from dit_policy_ros.policy.inference._block_cache import SCHEDULE_FILE, BlockCache, best_updates, bubble_up
from dit_policy_ros.policy.inference._block_calibration import latest_update

STEPS = 8


def infer(policy: DiTRuntime, seed: int = 0) -> NDArray[np.float32]:
    images, state = random_observation(policy.checkpoint.config, seed)
    return policy.predict(images, state, TASKS[0], np.ones((8, 4), np.float32))


def schedule_for(folder: Path, keep: float, **options: Any) -> Any:
    policy = load_policy(folder, **options)
    with torch.inference_mode():
        seen = [random_observation(policy.checkpoint.config, seed) for seed in range(4)]
        observations = [policy.observe(images, state, TASKS[0]) for images, state in seen]
    return calibrate(policy, observations, keep)


@pytest.fixture(params=["diffusion", "flow_matching"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    config = tiny_config(
        objective=request.param,
        noise_scheduler_type="DDIM",
        num_inference_steps=STEPS,
        num_integration_steps=STEPS,
    )
    return save_tiny(tmp_path / "checkpoint", config)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_best_updates_are_the_best_of_all_choices(count: int) -> None:
    rng = np.random.default_rng(count)
    similarity = rng.uniform(-1, 1, (5, 5))
    np.fill_diagonal(similarity, 1.0)

    def total(updates: tuple[int, ...]) -> float:
        return float(similarity[latest_update(updates, 5), range(5)].sum())

    found = best_updates(similarity, count)
    every = [(0, *rest) for rest in itertools.combinations(range(1, 5), count - 1)]
    assert found in every and total(found) == pytest.approx(max(map(total, every)))


def test_blocks_with_large_errors_are_computed_with_the_mlps_behind_them() -> None:
    updates = [(0, 4), (0, 3), (0, 2), (0, 5)]  # attention, MLP, attention, MLP
    assert bubble_up(updates, [0.9, 0.1, 0.8, 0.1]) == ((0, 3, 4, 5), (0, 3), (0, 2, 5), (0, 5))
    assert bubble_up(updates, [0.5] * 4) == tuple(updates)


def test_a_block_is_computed_at_its_steps_and_reused_in_between() -> None:
    calls: list[float] = []

    def compute(h: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        calls.append(float(h))
        return h

    cache = BlockCache([90, 60, 30, 0], [(0, 2)])
    given = []
    for t in (90, 60, 30, 0):
        cache.begin_step(t)
        given.append(float(cache(0, compute, torch.tensor(float(t)), torch.zeros(()))))
    assert calls == [90, 30] and given == [90, 90, 30, 30]
    late = BlockCache([90, 60, 30, 0], [(0, 2)])  # a warm start skips the first steps
    late.begin_step(60)
    assert float(late(0, compute, torch.tensor(60.0), torch.zeros(()))) == 60


def test_a_full_schedule_is_exact_and_a_shorter_one_computes_fewer_blocks(folder: Path) -> None:
    plain = load_policy(folder)
    whole = schedule_for(folder, 1.0)
    assert whole.share == 1.0 and whole.deviation == 0.0
    write_schedule(folder, whole)
    np.testing.assert_allclose(infer(load_policy(folder, block_cache=True)), infer(plain), atol=1e-6)

    half = schedule_for(folder, 0.5)
    assert 0.5 <= half.share < 1.0 and 0.0 < half.deviation < 0.5
    write_schedule(folder, half)
    cached = load_policy(folder, block_cache=True)
    assert f"{half.share:.0%} of the blocks computed" in cached.description
    calls: list[int] = []
    for number, layer in enumerate(cached.engine.denoiser.layers):
        layer.qkv.register_forward_hook(lambda *_, n=number: calls.append(2 * n))
        layer.widen.register_forward_hook(lambda *_, n=number: calls.append(2 * n + 1))
    first = infer(cached)
    assert [calls.count(block) for block in range(4)] == list(map(len, half.updates))
    assert 0.0 < np.abs(first - infer(plain)).max() < 1.0
    infer(cached, seed=1)
    np.testing.assert_array_equal(infer(cached), first), "no output of another inference is reused"


def test_the_deviation_falls_with_the_share_of_computed_blocks(folder: Path) -> None:
    deviations = [schedule_for(folder, keep).deviation for keep in (0.2, 0.6, 0.9)]
    assert deviations == sorted(deviations, reverse=True)


def test_a_schedule_for_other_weights_or_another_sampler_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"block_cache.json does not exist; make one with `dit_policy"):
        load_policy(folder, block_cache=True)
    path = write_schedule(folder, schedule_for(folder, 0.5))
    assert path == folder / SCHEDULE_FILE
    with pytest.raises(CheckpointError, match=r"expected '.* 4 steps', but the schedule is for '.* 8 steps'"):
        load_policy(folder, block_cache=True, sampling_steps=4)
    stored = json.loads(path.read_text())
    for change, expected in (
        ({"weights_sha256": "0" * 64}, "weights_sha256: expected '.{64}', but the schedule is for '000"),
        (
            {"updates": stored["updates"][1:]},
            "updates: expected 4 lists of ascending steps, from 0 and below 8",
        ),
        ({"updates": [[0, 9]] * 4}, "updates: expected 4 lists of ascending steps, from 0 and below 8"),
        ({"format": 2}, "format: expected 1, but the schedule is for 2"),
        ({"more": 1}, "more"),
    ):
        path.write_text(json.dumps(stored | change))
        with pytest.raises(CheckpointError, match=expected):
            load_policy(folder, block_cache=True)


def test_block_cache_is_refused_where_it_cannot_work(folder: Path, tmp_path: Path) -> None:
    write_schedule(folder, schedule_for(folder, 0.5))
    with pytest.raises(CheckpointError, match=r"expected the conditioning 'adaln' with the backend 'eager'"):
        load_policy(folder, block_cache=True, backend="plain")
    policy = load_policy(folder, block_cache=True)
    with pytest.raises(CheckpointError, match="the schedule is for 8 steps, not 3"):
        policy.engine.set_steps(3)
    with pytest.raises(CheckpointError, match="keep: expected more than 0, at most 1, got 0"):
        schedule_for(folder, 0.0)
    if policy.checkpoint.config.objective == "flow_matching":
        with pytest.raises(CheckpointError, match="switch one of the two off"):
            load_policy(folder, block_cache=True, real_time_chunking=True)
        with pytest.raises(CheckpointError, match="expected integration_method 'euler', got 'rk4'"):
            schedule_for(folder, 0.5, integration_method="rk4")

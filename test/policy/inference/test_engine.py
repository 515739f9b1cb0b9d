# SPDX-License-Identifier: Apache-2.0
"""The engine in use: threads, number of steps, memory."""

import resource
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_policy import TASKS, random_observation, save_tiny, tiny_config
from tiny_variants import DDIM, infer

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.policy import load_policy

TOLERANCE = 1e-5  # robot units; the widest span of the made-up statistics is 1.5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "checkpoint", tiny_config(cameras=2, **DDIM))


def test_the_tasks_of_two_threads_do_not_mix(folder: Path) -> None:
    """The instruction may change during an inference, which must use the one that it was called with."""
    policy = load_policy(folder)
    images, state = random_observation(policy.checkpoint.config)
    noise = np.ones((8, 4), np.float32)
    expected = {task: policy.predict(images, state, task, noise) for task in TASKS}
    assert np.abs(expected[TASKS[0]] - expected[TASKS[1]]).max() > 1e-4
    wrong: list[str] = []
    together = threading.Barrier(4)

    def work(number: int) -> None:
        together.wait(10.0)
        for i in range(25):
            task = TASKS[(number + i) % 2]
            if not np.array_equal(policy.predict(images, state, task, noise), expected[task]):
                wrong.append(task)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert not any(thread.is_alive() for thread in threads) and wrong == []


def test_fit_steps_sets_the_largest_number_of_steps_that_fits(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load_policy(folder)
    measured: list[int] = []

    def warm_up(n: int) -> NDArray[np.float64]:
        measured.append(policy.steps)
        return np.full(n, 0.010 + 0.002 * policy.steps)  # [s]

    monkeypatch.setattr(policy, "warm_up", warm_up)
    budget = policy.fit_steps(max_latency=0.0165, n=5)
    # 3 would fit as well, but does not divide the 20 training steps.
    assert (budget.steps, policy.steps) == (2, 2) and budget.latency_p95 == pytest.approx(0.014)
    assert "2 steps" in policy.description and "2 steps" in policy.backend
    assert max(measured) == 4, "never more steps than configured"
    np.testing.assert_allclose(
        infer(policy), infer(load_policy(folder, num_inference_steps=2)), rtol=0, atol=TOLERANCE
    )


@pytest.mark.parametrize("real_time_chunking", [False, True])
def test_the_latency_of_a_warm_start_is_that_of_a_cold_chunk(
    folder: Path, monkeypatch: pytest.MonkeyPatch, real_time_chunking: bool
) -> None:
    """After a start, a HOLD or a new task the chunk takes all steps: that must fit, too."""
    policy = load_policy(folder, warm_start=1, real_time_chunking=real_time_chunking)
    now = [0.0]

    def predict(images: object, state: object, task: str, previous: object = None) -> None:
        now[0] += 0.010 + 0.002 * (1 if previous is not None else policy.steps)

    monkeypatch.setattr(policy, "predict", predict)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    np.testing.assert_allclose(policy.warm_up(5), 0.010 + 0.002 * 4)
    assert policy.fit_steps(max_latency=0.0145, n=5).steps == 2
    with pytest.raises(DitPolicyError, match=r"one denoising step takes 0\.012 s"):
        policy.fit_steps(max_latency=0.011, n=5)


@pytest.mark.slow
def test_memory_does_not_grow_over_ten_thousand_calls(tmp_path: Path) -> None:
    """New frames, instructions and noise in every call. Once the caches are full, memory stays constant."""
    options = DDIM | {"num_layers": 1, "num_inference_steps": 2}
    policy = load_policy(save_tiny(tmp_path / "checkpoint", tiny_config(**options)), warm_start=1)
    images, state = random_observation(policy.checkpoint.config)
    rng = np.random.default_rng(0)

    def call(i: int) -> None:
        images["cam0"][:] = rng.integers(0, 256, images["cam0"].shape, dtype=np.uint8)
        previous = Continuation(np.zeros((policy.horizon, policy.action_dim)), committed=1)
        policy.predict(images, state, f"task {i % 200}", previous=previous)

    for i in range(1_000):
        call(i)
    before = resident_bytes()
    for i in range(10_000):
        call(i)
    assert resident_bytes() - before < 4e6


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()

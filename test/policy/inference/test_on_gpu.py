# SPDX-License-Identifier: Apache-2.0
"""On a GPU the policy computes what it does on the CPU, and captures nothing while a robot waits."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from devices import needs_gpu
from numpy.typing import NDArray
from tiny_policy import TASKS, random_observation
from tiny_variants import DDIM, FLOW, VARIANTS, infer, save, variant_name

from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.inference import DiTRuntime, calibrate, write_schedule
from dit_policy_ros.policy.inference import _cuda_graph as cuda_graph

pytestmark = needs_gpu
TOLERANCE = 2e-5  # robot units; the order of a sum differs from device to device
NOISE = np.ones((8, 4), np.float32)


@pytest.fixture(autouse=True)
def exact_convolutions() -> Iterator[None]:
    """Trained vision encoders have convolutions, which cuDNN computes in TF32 by default."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The CUDA graphs captured so far."""
    made: list[object] = []
    capture = torch.cuda.CUDAGraph.capture_begin

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        made.append(self)
        return capture(self, *arguments, **options)

    monkeypatch.setattr(torch.cuda.CUDAGraph, "capture_begin", counted)
    return made


def start(policy: DiTRuntime, observation: int = 0, task: str = TASKS[0], **options: Any) -> NDArray:
    images, state = random_observation(policy.checkpoint.config, observation)
    return policy.predict(images, state, task, NOISE, **options)


@pytest.mark.parametrize("scale", [1.0, 2.5])
@pytest.mark.parametrize("options", VARIANTS, ids=variant_name)
def test_cuda_graphs_equal_the_networks_as_trained(
    tmp_path: Path, options: dict[str, Any], scale: float
) -> None:
    """With the same random numbers, also for samplers that draw at every step."""
    folder = save(tmp_path / "checkpoint", **options)
    plain = load_policy(folder, "cuda", backend="plain", guidance_scale=scale)
    policy = load_policy(folder, "cuda", guidance_scale=scale)
    assert policy.backend.startswith("cuda_graphs float32") and policy.device == "cuda:0"
    for observation in (0, 1):
        for task in TASKS:
            expected = infer(plain, observation, task)
            for _ in range(2):  # the second one from the caches
                np.testing.assert_allclose(infer(policy, observation, task), expected, rtol=0, atol=TOLERANCE)
    assert np.abs(infer(policy, seed=5) - infer(policy, seed=6)).max() > 100 * TOLERANCE, (
        "every inference draws new noise"
    )


DETERMINISTIC = [options for options in VARIANTS if "objective" in options or "DDIM" in options.values()]


@pytest.mark.parametrize("options", DETERMINISTIC, ids=variant_name)
@pytest.mark.parametrize("form", ["plain", "eager", "traced", "cuda_graphs"])
def test_cpu_and_gpu_give_the_same_chunk(tmp_path: Path, options: dict[str, Any], form: str) -> None:
    folder = save(tmp_path / "checkpoint", **options)
    there, here = load_policy(folder, "cuda", backend=form), load_policy(folder, "cpu", backend="plain")
    for observation in (0, 1):
        np.testing.assert_allclose(
            start(there, observation), start(here, observation), rtol=0, atol=TOLERANCE
        )


@pytest.mark.slow
def test_compiled_networks_on_a_gpu_equal_the_trained_ones_on_a_cpu(tmp_path: Path) -> None:
    folder = save(tmp_path / "checkpoint", cameras=2, **DDIM)
    compiled, plain = load_policy(folder, "cuda", backend="compiled"), load_policy(folder, backend="plain")
    assert compiled.description.endswith("compiled float32")
    np.testing.assert_allclose(start(compiled), start(plain), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("options", [DDIM | {"cameras": 2}, FLOW], ids=variant_name)
def test_16_bit_formats_are_close_to_float32(tmp_path: Path, options: dict[str, Any], dtype: str) -> None:
    folder = save(tmp_path / "checkpoint", **options)
    rounded, exact = load_policy(folder, "cuda", dtype=dtype), load_policy(folder)
    assert rounded.backend.startswith(f"cuda_graphs {dtype}")
    difference = np.abs(start(rounded) - start(exact)).max()
    assert 0.0 < difference < 0.02 * 1.5


@pytest.mark.parametrize(
    "reuse",
    [{}, {"warm_start": 2}, {"real_time_chunking": True}, {"warm_start": 2, "real_time_chunking": True}],
    ids=str,
)
@pytest.mark.parametrize("options", [DDIM, FLOW], ids=variant_name)
def test_a_chunk_continues_the_previous_one_as_on_the_cpu(
    tmp_path: Path, options: dict[str, Any], reuse: dict[str, Any]
) -> None:
    folder = save(tmp_path / "checkpoint", **options)
    there, here = (load_policy(folder, device, **reuse) for device in ("cuda", "cpu"))
    previous = Continuation(np.full((8, 4), np.nan), committed=3)
    previous.actions[:6] = 0.1  # [rad]
    expected = start(here, previous=previous)
    np.testing.assert_allclose(start(there, previous=previous), expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(start(there), start(here), rtol=0, atol=TOLERANCE)
    assert (np.abs(expected - start(here)).max() > 100 * TOLERANCE) == bool(reuse)


def test_block_caching_equals_the_cpu(tmp_path: Path) -> None:
    folder = save(tmp_path / "checkpoint", **DDIM)
    policy = load_policy(folder)
    with torch.inference_mode():
        seen = [random_observation(policy.checkpoint.config, seed) for seed in range(4)]
        observations = [policy.observe(images, state, TASKS[0]) for images, state in seen]
    write_schedule(folder, calibrate(policy, observations, 0.5))
    there, here = (load_policy(folder, device, block_cache=True) for device in ("cuda", "cpu"))
    assert there.backend.startswith("cuda_graphs")
    for observation in (0, 1):
        np.testing.assert_allclose(
            start(there, observation), start(here, observation), rtol=0, atol=TOLERANCE
        )


@pytest.mark.parametrize("reuse", [{}, {"warm_start": 2}, {"real_time_chunking": True}], ids=str)
@pytest.mark.parametrize("separate", [False, True])
def test_nothing_is_captured_while_a_robot_waits(
    tmp_path: Path, captures: list[object], separate: bool, reuse: dict[str, Any]
) -> None:
    options = DDIM | {"cameras": 3, "use_separate_rgb_encoder_per_camera": separate}
    folder = save(tmp_path / "checkpoint", **options)
    policy, plain = load_policy(folder, "cuda", **reuse), load_policy(folder, "cuda", backend="plain")
    policy.warm_up(3)
    begun = len(captures)
    assert begun == 1 + 6, "the loop; one network for 1 to 6 frames, or three for 1 and 2"
    images, _ = random_observation(policy.checkpoint.config, 10)
    for number, name in enumerate(
        images
    ):  # frames arrive one by one: each inference has some new and some known ones
        newer, state = random_observation(policy.checkpoint.config, 11 + number)
        images[name] = newer[name]
        expected = plain.predict(images, state, TASKS[1], NOISE)
        got = policy.predict(images, state, TASKS[1], NOISE)
        np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)
    start(policy, 20, previous=Continuation(np.zeros((8, 4)), committed=2))
    start(policy, 20, TASKS[1])
    assert len(captures) == begun


def test_frames_encoded_ahead_need_no_capture_either(tmp_path: Path, captures: list[object]) -> None:
    folder = save(tmp_path / "checkpoint", cameras=2, **DDIM)
    policy, plain = load_policy(folder, "cuda"), load_policy(folder, "cuda", backend="plain")
    policy.warm_up(3)
    begun, encoded = len(captures), policy.engine.frames.encoded
    images, _ = random_observation(policy.checkpoint.config, 3)
    policy.encode(images)
    assert policy.engine.frames.encoded == encoded + 4
    np.testing.assert_allclose(start(policy, 3), start(plain, 3), rtol=0, atol=TOLERANCE)
    assert len(captures) == begun and policy.engine.frames.encoded == encoded + 4


def test_inference_may_run_in_another_thread_than_loading(tmp_path: Path) -> None:
    """A node configures in one thread and infers in another."""
    policy = load_policy(save(tmp_path / "checkpoint", cameras=2, **DDIM), "cuda")
    policy.warm_up(3)
    expected = [start(policy, observation) for observation in range(3)]
    got: list[NDArray] = []
    thread = threading.Thread(
        target=lambda: got.extend(start(policy, observation) for observation in range(3))
    )
    thread.start()
    thread.join(60.0)
    np.testing.assert_array_equal(np.stack(got), np.stack(expected))


def test_changed_weights_are_captured_again(tmp_path: Path) -> None:
    folder = save(tmp_path / "checkpoint", cameras=2, **DDIM)
    policy, plain = load_policy(folder, "cuda"), load_policy(folder, "cuda", backend="plain")
    before = start(policy)
    for each in (policy, plain):
        weights = each.module.state_dict()
        each.module.load_state_dict({name: 1.1 * weight for name, weight in weights.items()})
    after = start(policy)
    np.testing.assert_allclose(after, start(plain), rtol=0, atol=TOLERANCE)
    assert np.abs(after - before).max() > 100 * TOLERANCE


def test_another_number_of_steps_is_captured_again(tmp_path: Path) -> None:
    folder = save(tmp_path / "checkpoint", **DDIM)
    policy = load_policy(folder, "cuda")
    start(policy)
    budget = policy.fit_steps(max_latency=10.0, n=3)
    assert budget.steps == 4
    policy.engine.set_steps(2)
    fewer = load_policy(folder, "cpu", num_inference_steps=2)
    np.testing.assert_allclose(start(policy), start(fewer), rtol=0, atol=TOLERANCE)


def test_a_seed_determines_the_noise(tmp_path: Path) -> None:
    policy = load_policy(save(tmp_path / "checkpoint"), "cuda")  # DDPM, which draws at every step
    images, state = random_observation(policy.checkpoint.config)
    drawn = []
    for seed in (1, 2, 1):
        policy.seed_sampling(seed)
        drawn.append([policy.predict(images, state, TASKS[0]) for _ in range(2)])
    np.testing.assert_array_equal(drawn[0], drawn[2])
    assert np.abs(drawn[0][0] - drawn[0][1]).max() > 100 * TOLERANCE
    assert np.abs(drawn[0][0] - drawn[1][0]).max() > 100 * TOLERANCE


def test_warm_up_leaves_the_random_generators_alone(tmp_path: Path) -> None:
    policy = load_policy(save(tmp_path / "checkpoint"), "cuda")
    policy.seed_sampling(3)
    expected = torch.randn(4, device="cuda")
    policy.seed_sampling(3)
    policy.warm_up(3)
    torch.testing.assert_close(torch.randn(4, device="cuda"), expected, rtol=0, atol=0)


def test_every_call_of_a_captured_function_returns_its_own_tensor() -> None:
    doubled = cuda_graph.CapturedFunction(lambda x: 2 * x, torch.zeros(3, device="cuda"))
    first = doubled(torch.ones(3, device="cuda"))
    second = doubled(torch.full((3,), 5.0, device="cuda"))
    assert first.tolist() == [2.0] * 3 and second.tolist() == [10.0] * 3

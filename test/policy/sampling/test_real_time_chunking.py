# SPDX-License-Identifier: Apache-2.0
"""Samples that continue a chunk, on a distribution of two modes whose mean is in neither mode."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_policy import TASKS, random_observation, save_tiny, tiny_config
from torch import Tensor

from dit_policy_ros.core.errors import CheckpointError, StreamError
from dit_policy_ros.core.motion import Continuation
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.sampling import (
    ActionPrefix,
    DiffusionObjective,
    FlowMatchingObjective,
    Predictor,
    inpaint,
    prefix_guidance,
    warm_start,
)
from dit_policy_ros.policy.sampling._previous_chunk import fill_with_nearest
from dit_policy_ros.policy.sampling._real_time_chunking import (
    MAX_GUIDANCE_WEIGHT,
    guidance_weight,
    prefix_weights,
)

HORIZON, SAMPLES, COMMITTED = 8, 400, 3
SPREAD = 0.1  # standard deviation of the actions within a mode
MODES = torch.stack((torch.linspace(0.5, 0.9, HORIZON), torch.linspace(-0.5, -0.9, HORIZON)))[..., None]


def expected_actions(x: Tensor, signal: float, noise: float) -> Tensor:
    """E[x_0 | x = signal x_0 + noise eps] for the mixture of both modes, in closed form: (B, T, 1)."""
    variance = signal**2 * SPREAD**2 + noise**2
    distance = (x[:, None] - signal * MODES).square().sum((2, 3))  # (B, 2)
    share = torch.softmax(-distance / (2 * variance), dim=1)  # (B, 2)
    means = MODES + signal * SPREAD**2 / variance * (x[:, None] - signal * MODES)  # (B, 2, T, 1)
    return (share[..., None, None] * means).sum(1)


def diffusion(scheduler: str = "DDIM", steps: int = 20) -> tuple[DiffusionObjective, Predictor]:
    objective = DiffusionObjective(
        tiny_config(
            num_train_timesteps=100,
            num_inference_steps=steps,
            noise_scheduler_type=scheduler,
            prediction_type="sample",
        )
    )

    def predict(x: Tensor, t: float) -> Tensor:
        alpha_bar = float(objective.alpha_bar[int(t)])
        return expected_actions(x, alpha_bar**0.5, (1 - alpha_bar) ** 0.5)

    return objective, predict


def flow(steps: int = 20) -> tuple[FlowMatchingObjective, Predictor]:
    objective = FlowMatchingObjective(tiny_config(objective="flow_matching", num_integration_steps=steps))

    def predict(x: Tensor, t: float) -> Tensor:
        if t == 0.0:
            return expected_actions(x, 0.0, 1.0) - x
        return (expected_actions(x, t, 1 - t) - x) / (1 - t)

    return objective, predict


def noise(seed: int = 0) -> Tensor:
    return torch.randn(SAMPLES, HORIZON, 1, generator=torch.Generator().manual_seed(seed))


def upper(x: Tensor) -> Tensor:
    """Whether each sample (B,) is of the first mode."""
    return x.mean((1, 2)) > 0


def jump(x: Tensor) -> Tensor:
    """Distance of the first uncommitted row from the first mode, which the committed rows follow (B,)."""
    return (x[:, COMMITTED] - MODES[0, COMMITTED]).abs()[:, 0]


def prefix(committed: int = COMMITTED, until: int = HORIZON) -> ActionPrefix:
    return ActionPrefix(MODES[:1].clone(), torch.arange(HORIZON) < until, committed)


@pytest.mark.parametrize("objective", ["flow", "DDIM", "DDPM"])
def test_a_sample_continues_the_mode_that_is_being_executed(objective: str) -> None:
    torch.manual_seed(0)
    start, sampler = noise(), None
    if objective == "flow":
        sampler, predict = flow()
        independent = sampler.sample(predict, start)
        continued = sampler.sample(prefix_guidance(predict, prefix()), start)
    else:
        sampler, predict = diffusion(objective)
        independent = sampler.sample(predict, start)
        constrain = inpaint(sampler, prefix(), start)
        continued = sampler.sample(predict, constrain(start, sampler.timesteps()[0]), 0, constrain)
    assert 0.4 < float(upper(independent).float().mean()) < 0.6, "both modes are equally likely"
    blended = (MODES[0, COMMITTED] + independent[:, COMMITTED]) / 2  # the average of the two chunks
    in_no_mode = (blended - MODES[:, COMMITTED].T).abs().min(dim=1).values > 4 * SPREAD
    assert 0.4 < float(in_no_mode.float().mean()) < 0.6
    assert float(upper(continued).float().mean()) > 0.9
    assert float(jump(continued).mean()) < 0.25 * float(jump(independent).mean())
    continued = continued[upper(continued)]
    nearest = (continued[:, None] - MODES).abs().mean((2, 3)).min(dim=1).values  # (B,)
    assert float(nearest.max()) < 4 * SPREAD, "each sample must lie within a mode"


def test_rows_are_inpainted_down_to_the_noise_level_of_their_decay() -> None:
    sampler, predict = diffusion()
    start, target = noise(), prefix(until=6)
    constrain = inpaint(sampler, target, start)
    sampled = sampler.sample(predict, start, 0, constrain)
    assert torch.equal(sampled[:, :COMMITTED], MODES[:1, :COMMITTED].expand(SAMPLES, -1, -1))
    assert sampled[:, COMMITTED:].std(0).min() > 0.01
    for t in (95, 60, 30, 0, -5):
        inpainted = constrain(torch.full_like(start, 7.0), t)
        noised = sampler.add_noise_at(MODES[:1], start, t)
        for row, decay in enumerate([1.0, 1.0, 1.0, 3 / 4, 2 / 4, 1 / 4, 0.0, 0.0]):
            expected = noised[:, row] if decay == 1 or t > 100 * (1 - decay) else torch.full((1,), 7.0)
            torch.testing.assert_close(inpainted[:, row], expected.expand(SAMPLES, 1))


def test_the_weights_follow_the_papers_equations() -> None:
    weights = prefix_weights(prefix(committed=2, until=6))[:, 0]
    for row in range(HORIZON):
        c = (6 - row) / (6 - 2 + 1)
        expected = 1.0 if row < 2 else c * (math.exp(c) - 1) / (math.e - 1) if row < 6 else 0.0
        assert float(weights[row]) == pytest.approx(expected)
    assert guidance_weight(0.0) == guidance_weight(1.0) == MAX_GUIDANCE_WEIGHT
    for t in (0.3, 0.5, 0.7):
        r2 = (1 - t) ** 2 / (t**2 + (1 - t) ** 2)
        assert guidance_weight(t) == pytest.approx((1 - t) / (t * r2))


def test_guidance_is_the_negative_gradient_of_the_weighted_error() -> None:
    """Compared with finite differences of 1/2 |W^(1/2) (Y - x_1(x))|^2."""
    _, predict = flow()
    target, t = prefix(), 0.4
    x = noise()[:1].double()

    def weighted_error(x: Tensor) -> float:
        x_1 = x + (1 - t) * predict(x, t)
        return float(((target.actions - x_1).square() * prefix_weights(target)).sum() / 2)

    correction = prefix_guidance(predict, target)(x, t) - predict(x, t)
    for row in range(HORIZON):
        step = torch.zeros_like(x)
        step[0, row] = 1e-5
        slope = (weighted_error(x + step) - weighted_error(x - step)) / 2e-5
        assert float(correction[0, row]) == pytest.approx(-guidance_weight(t) * slope, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("make", [diffusion, flow])
def test_a_warm_start_with_all_steps_equals_the_plain_sampler(make: Any) -> None:
    sampler, predict = make(steps=20)
    start = noise()
    x, first = warm_start(sampler, prefix(), start, 20)
    assert first == 0 and torch.equal(sampler.sample(predict, x, first), sampler.sample(predict, start))


def test_a_warm_start_with_all_steps_has_the_plain_samplers_distribution() -> None:
    """Two-sample Kolmogorov-Smirnov test at the 1% level, on independent draws."""
    sampler, predict = diffusion("DDPM")
    torch.manual_seed(1)
    plain = sampler.sample(predict, noise(1)).mean((1, 2)).sort().values
    warm = sampler.sample(predict, *warm_start(sampler, prefix(), noise(2), 20)).mean((1, 2)).sort().values
    values = torch.cat((plain, warm))
    shares = [torch.searchsorted(each, values, right=True) / SAMPLES for each in (plain, warm)]
    assert float((shares[0] - shares[1]).abs().max()) < 1.63 * math.sqrt(2 / SAMPLES)
    few_steps = (
        sampler.sample(predict, *warm_start(sampler, prefix(), noise(2), 5)).mean((1, 2)).sort().values
    )
    share = torch.searchsorted(few_steps, values, right=True) / SAMPLES
    assert float((shares[0] - share).abs().max()) > 1.63 * math.sqrt(2 / SAMPLES), "must be detected"


@pytest.mark.parametrize("make", [diffusion, flow])
def test_a_warm_start_with_few_steps_stays_in_the_previous_mode(make: Any) -> None:
    sampler, predict = make(steps=20)
    evaluations: list[float] = []

    def counted(x: Tensor, t: float) -> Tensor:
        evaluations.append(t)
        return predict(x, t)

    x, first = warm_start(sampler, prefix(), noise(), 5)
    sampled = sampler.sample(counted, x, first)
    assert evaluations == sampler.timesteps()[-5:]
    assert float(upper(sampled).float().mean()) > 0.99
    assert float((sampled - MODES[0]).abs().mean()) < 2 * SPREAD


def test_unknown_rows_repeat_the_nearest_known_one() -> None:
    actions = torch.tensor([math.nan, 1.0, 2.0, math.nan, math.nan])[:, None]
    filled = fill_with_nearest(actions, ~actions.isnan()[:, 0])
    assert filled[:, 0].tolist() == [1.0, 1.0, 2.0, 2.0, 2.0]


# --- the loaded policy -------------------------------------------------------------------------------------


@pytest.fixture(params=["diffusion", "flow_matching"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    config = tiny_config(
        objective=request.param,
        noise_scheduler_type="DDIM",
        num_inference_steps=10,
        num_integration_steps=10,
    )
    return save_tiny(tmp_path / "checkpoint", config)


def test_the_previous_chunk_reaches_the_sampler(folder: Path) -> None:
    policy = load_policy(folder, real_time_chunking=True)
    plain = load_policy(folder)
    assert policy.uses_previous and not plain.uses_previous
    images, state = random_observation(policy.checkpoint.config)
    start = np.ones((8, 4), np.float32)
    alone = plain.predict(images, state, TASKS[0], start)
    previous = Continuation(np.full((8, 4), np.nan), committed=4)
    np.testing.assert_allclose(policy.predict(images, state, TASKS[0], start, previous), alone, atol=1e-5)
    previous.actions[1:6] = 0.1  # [rad] rows 1..5 of the sample
    ignored = plain.predict(images, state, TASKS[0], start, previous)
    np.testing.assert_array_equal(ignored, alone)
    continued = policy.predict(images, state, TASKS[0], start, previous)
    before, after = (np.abs(chunk[:3] - 0.1).mean() for chunk in (alone, continued))  # rows 1..3: committed
    assert after < 0.5 * before
    if policy.checkpoint.config.objective == "diffusion":
        np.testing.assert_allclose(continued[:3], 0.1, atol=1e-6)


def test_a_warm_start_takes_the_given_number_of_steps(folder: Path) -> None:
    policy = load_policy(folder, warm_start=3, backend="eager")  # so that calls can be counted
    images, state = random_observation(policy.checkpoint.config)
    calls: list[int] = []
    policy.engine.denoiser.register_forward_hook(lambda *_: calls.append(1))
    policy.predict(images, state, TASKS[0])
    assert len(calls) == 10, "there is no previous chunk yet"
    policy.predict(images, state, TASKS[0], previous=Continuation(np.zeros((8, 4)), committed=2))
    assert len(calls) == 13
    policy.warm_up(3)
    assert len(calls) == 13 + 10 + 2 * (3 + 10), "warming up runs chunks that continue one, and that do not"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"warm_start": -1}, r"warm_start: expected 0 \(off\) to the number of steps \(10\), got -1"),
        ({"warm_start": 11}, "got 11"),
        ({"warm_start": True}, "got True"),
        ({"real_time_chunking": 1}, "real_time_chunking: expected true or false, got 1"),
    ],
)
def test_invalid_options_are_refused(folder: Path, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(CheckpointError, match=expected):
        load_policy(folder, **options)


def test_a_previous_chunk_of_another_shape_is_refused(folder: Path) -> None:
    policy = load_policy(folder, warm_start=3)
    images, state = random_observation(policy.checkpoint.config)
    with pytest.raises(StreamError, match=r"previous: expected actions \(8, 4\), got \(7, 4\)"):
        policy.predict(images, state, TASKS[0], previous=Continuation(np.zeros((7, 4)), committed=2))

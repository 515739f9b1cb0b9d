# SPDX-License-Identifier: Apache-2.0
"""Integrators converge at their theoretical order; training targets are the path's velocities."""

import math
from itertools import pairwise

import pytest
import torch
from tiny_policy import tiny_config
from torch import Tensor, nn

from dit_policy_ros.policy.sampling import FlowMatchingObjective
from dit_policy_ros.policy.sampling._flow_matching import euler_step, rk4_step


@pytest.mark.parametrize(("step", "order"), [(euler_step, 1), (rk4_step, 4)])
def test_the_global_error_has_the_order_of_the_method(step, order: int) -> None:
    def error(steps: int) -> float:
        x = torch.full((1,), 0.1, dtype=torch.float64)
        for i in range(steps):  # y = x - t + t^2 grows logistically
            x = step(
                lambda x, t: 3 * (x - t + t**2) * (1 - x + t - t**2) + 1 - 2 * t, x, i / steps, 1 / steps
            )
        return abs(float(x) - 1 / (1 + 9 * math.exp(-3)))

    errors = [error(steps) for steps in (64, 128, 256)]
    measured = [math.log2(a / b) for a, b in pairwise(errors)]
    assert measured == pytest.approx([order, order], abs=0.2)


class Straight:
    """The exact velocity of the path from the given noise to the given actions."""

    def __init__(self, noise: Tensor, data: Tensor) -> None:
        self.velocity = data - noise
        self.times: list[float] = []

    def __call__(self, x: Tensor, t: float) -> Tensor:
        self.times.append(t)
        return self.velocity


@pytest.mark.parametrize("method", ["euler", "rk4"])
def test_sampling_runs_from_noise_at_time_0_to_actions_at_time_1(method: str) -> None:
    noise, data = torch.randn(2, 8, 4), torch.randn(2, 8, 4)
    network = Straight(noise, data)
    config = tiny_config(objective="flow_matching", integration_method=method, num_integration_steps=4)
    sampled = FlowMatchingObjective(config).sample(network, noise)
    torch.testing.assert_close(sampled, data, rtol=0, atol=1e-5)
    assert network.times[0] == 0.0 and network.times == sorted(network.times)
    assert max(network.times) == (1.0 if method == "rk4" else 0.75)


@pytest.mark.parametrize("sigma_min", [0.0, 0.1])
def test_the_loss_is_zero_for_the_exact_velocity(sigma_min: float) -> None:
    config = tiny_config(objective="flow_matching", sigma_min=sigma_min)
    data = torch.randn(3, 8, 4)

    class FromPath(nn.Module):
        def forward(self, x: Tensor, time: Tensor, observation: Tensor) -> Tensor:
            t, shrink = time.view(-1, 1, 1), 1 - sigma_min
            noise = (x - t * data) / (1 - shrink * t)
            return data - shrink * noise

    loss = FlowMatchingObjective(config).loss(FromPath(), data, None, torch.zeros(3, 1))
    assert float(loss) < 1e-6


def test_sampling_times_follow_the_strategy() -> None:
    torch.manual_seed(0)
    device = torch.device("cpu")
    beta = FlowMatchingObjective(tiny_config(objective="flow_matching", timestep_sampling_s=0.9))
    times = beta.sample_times(20_000, device)
    assert times.min() >= 0.0 and times.max() <= 0.9
    assert float(times.mean()) == pytest.approx(0.9 * (1 - 1.5 / 2.5), abs=0.01)  # more noise than signal
    uniform = FlowMatchingObjective(
        tiny_config(objective="flow_matching", timestep_sampling_strategy="uniform")
    )
    assert float(uniform.sample_times(20_000, device).mean()) == pytest.approx(0.5, abs=0.01)

# SPDX-License-Identifier: Apache-2.0
"""Our noise schedules and step equations equal those of diffusers to 1e-6."""

import itertools
from types import ModuleType
from typing import Any

import pytest
import torch
from tiny_policy import tiny_config
from torch import Tensor, nn

from dit_policy_ros.policy.sampling import DiffusionObjective
from dit_policy_ros.policy.sampling._noise_schedule import alphas_cumprod, leading_timesteps

SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace")


@pytest.fixture(scope="module")
def diffusers() -> ModuleType:
    return pytest.importorskip("diffusers", reason="diffusers is not installed: nothing to compare with")


def scheduler(diffusers: ModuleType, kind: str, **options: Any) -> Any:
    return getattr(diffusers, f"{kind}Scheduler")(**options)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 10, 100, 1000])
def test_alpha_bar(diffusers: ModuleType, schedule: str, steps: int) -> None:
    options = {"num_train_timesteps": steps, "beta_schedule": schedule}
    expected = scheduler(diffusers, "DDPM", **options, beta_start=1e-4, beta_end=0.02).alphas_cumprod
    torch.testing.assert_close(alphas_cumprod(tiny_config(**options)), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "prediction", "clip", "steps"),
    list(itertools.product(("DDPM", "DDIM"), ("epsilon", "sample"), (True, False), (100, 30, 10, 1))),
)
def test_every_sampling_step(
    diffusers: ModuleType, kind: str, prediction: str, clip: bool, steps: int
) -> None:
    options: dict[str, Any] = {"num_train_timesteps": 100, "clip_sample": clip, "clip_sample_range": 0.8}
    options |= {"prediction_type": prediction, "beta_schedule": "squaredcos_cap_v2"}
    theirs = scheduler(diffusers, kind, **options)
    theirs.set_timesteps(steps)
    config = tiny_config(**options, noise_scheduler_type=kind, num_inference_steps=steps)
    ours = DiffusionObjective(config)
    visited = leading_timesteps(100, steps)
    assert visited == theirs.timesteps.tolist()
    step = ours.ddim_step if kind == "DDIM" else ours.ddpm_step
    torch.manual_seed(0)
    x = torch.randn(2, 8, 4)
    for t in visited:
        output = torch.randn_like(x) * 0.3 + (x if prediction == "epsilon" else 0.0)
        torch.manual_seed(t)
        expected = theirs.step(output, torch.tensor(t), x).prev_sample
        torch.manual_seed(t)
        got = step(output, x, t, t - 100 // steps)
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6 * scale)
        x = expected.clamp(-3, 3)


def test_add_noise(diffusers: ModuleType) -> None:
    objective = DiffusionObjective(tiny_config(num_train_timesteps=100))
    theirs = scheduler(diffusers, "DDPM", num_train_timesteps=100, beta_schedule="squaredcos_cap_v2")
    torch.manual_seed(0)
    x, noise, t = torch.randn(5, 8, 4), torch.randn(5, 8, 4), torch.tensor([0, 1, 50, 98, 99])
    torch.testing.assert_close(
        objective.add_noise(x, noise, t), theirs.add_noise(x, noise, t), rtol=0, atol=1e-6
    )


class Oracle(nn.Module):
    """Predicts the given clean actions."""

    def __init__(self, clean: Tensor) -> None:
        super().__init__()
        self.clean = clean

    def forward(self, x: Tensor, time: Tensor, observation: Tensor) -> Tensor:
        return self.clean


@pytest.mark.parametrize("kind", ["DDPM", "DDIM"])
def test_sampling_with_a_perfect_network_gives_the_clean_actions(kind: str) -> None:
    config = tiny_config(noise_scheduler_type=kind, prediction_type="sample", num_inference_steps=10)
    clean = torch.rand(2, 8, 4) * 1.8 - 0.9
    sampled = DiffusionObjective(config).sample(lambda x, t: clean, torch.randn(2, 8, 4))
    torch.testing.assert_close(sampled, clean, rtol=0, atol=1e-5)


def test_masked_padding_does_not_count_in_the_loss() -> None:
    is_pad = torch.tensor([[False] * 4 + [True] * 4])
    clean = torch.zeros(1, 8, 4)
    wrong_at_the_end = clean.clone()
    wrong_at_the_end[:, 4:] = 3.0
    for masked, expected in ((True, 0.0), (False, 4.5)):
        config = tiny_config(do_mask_loss_for_padding=masked, prediction_type="sample")
        loss = DiffusionObjective(config).loss(Oracle(wrong_at_the_end), clean, is_pad, torch.zeros(1, 1))
        assert float(loss) == pytest.approx(expected)

# SPDX-License-Identifier: Apache-2.0
"""Classifier-free guidance: no cost when off, one batch when on, the formula for every prediction type."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mostly_slow import mostly_slow
from tiny_policy import TASKS, random_observation, random_stats, tiny_tokenizer
from tiny_variants import CONDITIONINGS, shaken_policy, variant_config
from tiny_variants import save as save_variant
from torch import Tensor, nn

from dit_policy_ros.core.errors import CheckpointError, TaskError
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.checkpoint import CheckpointFacts, write_checkpoint
from dit_policy_ros.policy.inference import DiTRuntime
from dit_policy_ros.policy.sampling import DiffusionObjective, classifier_free_guidance, make_predictor

STEPS = 4


def save(folder: Path, **options: Any) -> Path:
    return save_variant(folder, num_inference_steps=STEPS, num_integration_steps=STEPS, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("guidance") / "checkpoint")


class Calls:
    """Records the batch sizes of a module's calls."""

    def __init__(self, module: nn.Module) -> None:
        self.batches: list[int] = []
        module.register_forward_pre_hook(lambda _, args: self.batches.append(len(args[0])))


def infer(policy: DiTRuntime, seed: int = 5, task: str = TASKS[0]) -> np.ndarray:
    images, state = random_observation(policy.checkpoint.config)
    torch.manual_seed(seed)
    return policy.predict(images, state, task)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"noise_scheduler_type": "DDIM", "prediction_type": "sample"},
        {"objective": "flow_matching"},
        {"objective": "flow_matching", "integration_method": "rk4"},
        {"conditioning": "joint"},
    ],
)
def test_a_scale_of_one_is_off_and_costs_nothing(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = save(tmp_path / "c", **options)
    plain = load_policy(folder, backend="eager")
    off = load_policy(folder, backend="eager", guidance_scale=1.0)
    calls = [Calls(p.engine.denoiser or p.module.noise_predictor) for p in (plain, off)]
    texts = [Calls(p.module.observation_encoder.text_encoder) for p in (plain, off)]
    np.testing.assert_array_equal(infer(off), infer(plain))
    per_step = 4 if options.get("integration_method") == "rk4" else 1
    assert calls[0].batches == calls[1].batches == [1] * STEPS * per_step
    assert texts[0].batches == texts[1].batches == [1]


def test_guidance_runs_one_batch_of_two_and_encodes_images_once(folder: Path) -> None:
    policy = load_policy(folder, guidance_scale=2.0, backend="eager")
    network = Calls(policy.engine.denoiser)
    infer(policy)
    assert network.batches == [2] * STEPS
    assert policy.engine.frames.encoded == policy.n_obs_steps


@pytest.mark.parametrize("conditioning", mostly_slow(CONDITIONINGS, 2))
@pytest.mark.parametrize("objective", ["diffusion", "flow_matching"])
def test_guided_sampling_follows_the_formula(tmp_path: Path, conditioning: str, objective: str) -> None:
    config = {"conditioning": conditioning, "objective": objective}
    policy = load_policy(save(tmp_path / "c", **config), guidance_scale=2.5)
    images, state = random_observation(policy.checkpoint.config)
    module = policy.module
    with torch.inference_mode():
        conditional, unconditional = (policy.observe(images, state, task) for task in (TASKS[0], ""))

        def combined(x: Tensor, t: float) -> Tensor:
            c, u = (make_predictor(module.noise_predictor, o)(x, t) for o in (conditional, unconditional))
            return u + 2.5 * (c - u)

        torch.manual_seed(5)
        noise = torch.randn(1, policy.horizon, policy.action_dim)
        expected = module.objective.sample(combined, noise)[0, policy.n_obs_steps - 1 :]
        expected = policy.checkpoint.processors.action.unnormalize(expected)
    got = infer(policy)
    np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert np.abs(got - infer(load_policy(tmp_path / "c"))).max() > 1e-4, "guidance must change the actions"


def test_a_scale_of_zero_ignores_the_instruction(folder: Path) -> None:
    policy = load_policy(folder, guidance_scale=0.0)
    np.testing.assert_allclose(infer(policy, task=TASKS[0]), infer(policy, task=TASKS[1]), atol=1e-6)
    plain = load_policy(folder)
    assert np.abs(infer(plain, task=TASKS[0]) - infer(plain, task=TASKS[1])).max() > 1e-3


class Linear(nn.Module):
    """A linear noise prediction, or the equivalent prediction of clean actions."""

    def __init__(self, objective: DiffusionObjective, *, clean: bool) -> None:
        super().__init__()
        self.objective, self.clean = objective, clean

    def forward(self, x: Tensor, time: Tensor, observation: Tensor) -> Tensor:
        noise = 0.4 * x + observation.view(-1, 1, 1)
        if not self.clean:
            return noise
        alpha_bar = self.objective.alpha_bar[time].view(-1, 1, 1)
        return (x - (1 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5


@pytest.mark.parametrize("scheduler", ["DDPM", "DDIM"])
def test_guiding_clean_predictions_equals_guiding_noise(scheduler: str) -> None:
    observation = torch.tensor([0.3, -0.2])  # with and without the instruction
    start = torch.randn(1, 8, 4, generator=torch.Generator().manual_seed(0))
    sampled = []
    for prediction in ("epsilon", "sample"):
        config = variant_config(
            prediction_type=prediction,
            noise_scheduler_type=scheduler,
            clip_sample=False,
            beta_schedule="linear",
        )
        objective = DiffusionObjective(config)
        network = classifier_free_guidance(
            make_predictor(Linear(objective, clean=prediction == "sample"), observation), 3.0
        )
        torch.manual_seed(1)
        sampled.append(objective.sample(network, start))
    torch.testing.assert_close(sampled[0], sampled[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf"), "2", True, None])
def test_an_invalid_scale_is_refused(folder: Path, value: Any) -> None:
    with pytest.raises(CheckpointError, match=r"guidance_scale: expected a finite number, 0 or more"):
        load_policy(folder, guidance_scale=value)


def test_it_is_a_listed_option_and_users_cannot_give_the_empty_instruction(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"unknown option 'guidance'.*guidance_scale"):
        load_policy(folder, guidance=2.0)
    policy = load_policy(folder, guidance_scale=2.0)
    assert "guided x2" in policy.description and "guided" not in load_policy(folder).description
    with pytest.raises(TaskError, match="got an empty string"):
        infer(policy, task="")


def test_guiding_a_checkpoint_without_instruction_dropout_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = variant_config()
    facts = CheckpointFacts(known_tasks=TASKS)
    write_checkpoint(tmp_path / "c", shaken_policy(config), random_stats(config), facts, tiny_tokenizer())
    load_policy(tmp_path / "c")
    assert "instruction dropout" not in caplog.text
    with caplog.at_level(logging.WARNING):
        load_policy(tmp_path / "c", guidance_scale=1.5)
    assert "does not say that it was trained with instruction dropout" in caplog.text

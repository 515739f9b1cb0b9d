# SPDX-License-Identifier: Apache-2.0
"""The restructured networks compute what the trained ones do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mostly_slow import mostly_slow
from tiny_policy import TASKS
from tiny_variants import VARIANTS, infer, save, shaken_policy, variant_config, variant_name
from transformers import CLIPVisionConfig

from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.encoders import VisionEncoder
from dit_policy_ros.policy.inference import _packed_linear as packed_linear
from dit_policy_ros.policy.inference._fast_adaln import FactorisedDenoiser
from dit_policy_ros.policy.inference._fast_clip import FastClip

TOLERANCE = 1e-5  # robot units; the widest span of the made-up statistics is 1.5


@pytest.mark.parametrize("scale", [pytest.param(1.0, marks=pytest.mark.slow), 2.5])  # 2.5 runs all of 1.0
@pytest.mark.parametrize("options", mostly_slow(VARIANTS, 9), ids=variant_name)
def test_every_variant_equals_the_networks_as_trained(
    tmp_path: Path, options: dict[str, Any], scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_linear, "MIN_PACKED_ENTRIES", 0)  # pack these small networks too
    folder = save(tmp_path / "checkpoint", **options)
    plain = load_policy(folder, backend="plain", guidance_scale=scale)
    fast = [load_policy(folder, backend=form, guidance_scale=scale) for form in ("eager", "traced")]
    for observation in (0, 1):
        for task in TASKS:
            expected = infer(plain, observation, task)
            for policy in fast:
                np.testing.assert_allclose(infer(policy, observation, task), expected, rtol=0, atol=TOLERANCE)
                repeated = infer(policy, observation, task)  # now from the caches
                np.testing.assert_allclose(repeated, expected, rtol=0, atol=TOLERANCE)
    assert np.abs(infer(plain, 0) - infer(plain, 1)).max() > 100 * TOLERANCE, (
        "the two observations give different chunks"
    )


def test_networks_without_a_fast_form_run_as_trained_and_the_description_says_so(tmp_path: Path) -> None:
    covered = load_policy(save(tmp_path / "covered"))
    assert covered.description.endswith("; traced float32") and covered.engine.denoiser is not None
    other = load_policy(save(tmp_path / "other", conditioning="joint", vision_encoder_family="dinov2"))
    assert other.engine.denoiser is None
    assert other.description.endswith(
        "traced float32; vision encoders of the family 'dinov2' as trained; "
        "the network with the conditioning 'joint' as trained"
    )


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu", "gelu_pytorch_tanh", "silu"])
@pytest.mark.parametrize("patches", [False, True])
def test_fast_clip_equals_clip(activation: str, patches: bool) -> None:
    torch.manual_seed(0)
    trained = VisionEncoder(
        CLIPVisionConfig(
            hidden_size=24,
            intermediate_size=40,
            num_hidden_layers=3,
            num_attention_heads=3,
            image_size=24,
            patch_size=8,
            hidden_act=activation,
        )
    ).eval()
    images = torch.randn(5, 3, 24, 24)
    with torch.inference_mode():
        for parameter in trained.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        fast = FastClip(trained.model, torch.float32)
        torch.testing.assert_close(fast(images, patches), trained(images, patches), rtol=1e-4, atol=1e-5)


def test_times_are_embedded_once_and_a_step_has_no_modulation_product() -> None:
    policy = shaken_policy(variant_config(cameras=0))
    with torch.inference_mode():
        denoiser = FactorisedDenoiser(policy.noise_predictor, torch.float32)
        calls: list[int] = []
        policy.noise_predictor.time_mlp.register_forward_hook(lambda *_: calls.append(1))
        for block in policy.noise_predictor.transformer_blocks:
            block.adaLN_modulation.register_forward_hook(lambda *_: calls.append(2))
        observation = torch.randn(1, policy.observation_encoder.output_dim)
        for _ in range(2):
            policy.objective.sample(denoiser.predictor(observation), torch.randn(1, 8, 4))
    assert calls == [1] * policy.config.num_train_timesteps


def test_a_step_module_that_cannot_be_tested_for_truth_is_used() -> None:
    """torch.compile gives such a module: its len() raises for a network without len()."""

    class Step(torch.nn.Module):
        def __len__(self) -> int:
            raise TypeError("does not support len()")

        def forward(self, x: torch.Tensor, modulation: torch.Tensor) -> torch.Tensor:
            return x + 1.0

    policy = shaken_policy(variant_config(cameras=0))
    with torch.inference_mode():
        denoiser = FactorisedDenoiser(policy.noise_predictor, torch.float32)
        predict = denoiser.predictor(torch.randn(1, policy.observation_encoder.output_dim), Step())
        assert torch.equal(predict(torch.zeros(1, 8, 4), 3), torch.ones(1, 8, 4))

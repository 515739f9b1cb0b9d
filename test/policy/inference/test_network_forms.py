# SPDX-License-Identifier: Apache-2.0
"""Traced and compiled networks compute what the trained ones do."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_policy import save_tiny, tiny_config
from tiny_variants import DDIM, FLOW, infer, save

from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.inference._network_forms import CompiledNetwork, TracedNetwork

TOLERANCE = 1e-5  # robot units; the widest span of the made-up statistics is 1.5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "checkpoint", tiny_config(cameras=2, **DDIM))


@pytest.mark.parametrize("images", [1, 3])
def test_a_trace_takes_any_number_of_images(tmp_path: Path, images: int) -> None:
    policy = load_policy(save(tmp_path / "checkpoint", conditioning="joint", image_tokens="all"))
    encoder = policy.module.observation_encoder
    trained, (traced,) = encoder.vision_encoder, set(policy.engine.frames._networks.values())
    assert isinstance(traced, TracedNetwork) and trained is not None
    size = encoder.resize_and_crop(torch.zeros(1, 3, 48, 64)).shape[-2:]
    batch = torch.randn(images, 3, *size)
    with torch.inference_mode():
        torch.testing.assert_close(traced(batch, True), trained(batch, True), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match=r"the trace is for the inputs \[True\], got \[False\]"):
        traced(batch, False)


def test_a_network_that_cannot_be_traced_runs_eagerly_and_the_description_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("unsupported\nand much more")

    monkeypatch.setattr(torch.jit, "trace", broken)
    policy = load_policy(folder)
    assert "FactorisedDenoiser cannot be traced here, so it runs as with 'eager'" in caplog.text
    assert "vision encoders eager, because they could not be traced; the network eager" in policy.description
    expected = infer(load_policy(folder, backend="plain"))
    np.testing.assert_allclose(infer(policy), expected, rtol=0, atol=TOLERANCE)


def test_a_network_that_cannot_be_compiled_runs_eagerly_and_the_description_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no C++ compiler found\nand much more")

    monkeypatch.setattr(torch, "compile", broken)
    policy = load_policy(folder, backend="compiled")
    assert "FactorisedDenoiser cannot be compiled here, so it runs as with 'eager'" in caplog.text
    assert "RuntimeError: no C++ compiler found" in caplog.text and "much more" not in caplog.text
    assert (
        "vision encoders eager, because they could not be compiled; the network eager" in policy.description
    )
    expected = infer(load_policy(folder, backend="plain"))
    np.testing.assert_allclose(infer(policy), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.slow
def test_a_compiled_step_equals_the_trained_one_and_is_compiled_before_use(tmp_path: Path) -> None:
    options = DDIM | {"num_layers": 1, "horizon": 4, "n_action_steps": 3}
    folder = save_tiny(tmp_path / "checkpoint", tiny_config(cameras=0, **options))
    compiled, plain = load_policy(folder, backend="compiled"), load_policy(folder, backend="plain")
    assert compiled.description.endswith("compiled float32")
    assert isinstance(compiled.engine._step, CompiledNetwork)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    got: list[NDArray] = []
    thread = threading.Thread(target=lambda: got.append(infer(compiled)))
    thread.start()
    thread.join(60.0)
    np.testing.assert_allclose(got[0], infer(plain), rtol=0, atol=TOLERANCE)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs, (
        "nothing is compiled during inference"
    )


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"cameras": 2}, {"use_separate_rgb_encoder_per_camera": True}, FLOW])
def test_everything_compiled_equals_the_networks_as_trained(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = save_tiny(tmp_path / "checkpoint", tiny_config(**(DDIM | options)))
    compiled = load_policy(folder, backend="compiled", guidance_scale=2.0)
    plain = load_policy(folder, backend="plain", guidance_scale=2.0)
    assert compiled.description.endswith("compiled float32")
    for observation in (0, 1):
        expected = infer(plain, observation)
        np.testing.assert_allclose(infer(compiled, observation), expected, rtol=0, atol=TOLERANCE)

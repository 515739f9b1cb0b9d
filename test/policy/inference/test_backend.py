# SPDX-License-Identifier: Apache-2.0
"""Which backend, dtype and device a policy runs on, and which are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_policy import save_tiny, tiny_config
from tiny_variants import DDIM, infer

from dit_policy_ros.core.errors import CheckpointError
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.inference import choose_backend, has_fast_bfloat16
from dit_policy_ros.policy.inference._backend import MAX_TRACED_PARAMETERS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "checkpoint", tiny_config(cameras=2, **DDIM))


def test_auto_chooses_the_fastest_backend() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert choose_backend("auto", "float32", cpu, MAX_TRACED_PARAMETERS).name == "traced"
    assert choose_backend("auto", "float32", cpu, MAX_TRACED_PARAMETERS + 1).name == "eager"
    assert choose_backend("auto", "float32", cuda, 1).name == "cuda_graphs"
    assert choose_backend("eager", "float32", cpu, 1).name == "eager"


def test_a_text_encoder_does_not_make_a_policy_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load_policy(folder).module
    text = module.observation_encoder.text_encoder.text_encoder
    whole, words = (sum(each.numel() for each in network.parameters()) for network in (module, text))
    assert words > 0
    for most, expected in ((whole - words, "traced"), (whole - words - 1, "eager")):
        monkeypatch.setattr("dit_policy_ros.policy.inference._backend.MAX_TRACED_PARAMETERS", most)
        assert f"; {expected} float32" in load_policy(folder).description


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"backend": "onnx"},
            "backend: expected one of auto, plain, eager, traced, compiled, cuda_graphs, got 'onnx'",
        ),
        ({"backend": "cuda_graphs"}, "backend 'cuda_graphs' needs a GPU, but the device is 'cpu'"),
        ({"dtype": "int8"}, "dtype: expected one of float32, bfloat16, float16, got 'int8'"),
        ({"dtype": "float16"}, "dtype 'float16' is not available: on a CPU it would be slower"),
        ({"dtype": "bfloat16", "backend": "plain"}, "expected float32 with the backend 'plain'"),
    ],
)
def test_load_policy_refuses_a_backend_or_dtype_that_this_machine_lacks(
    folder: Path, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(CheckpointError, match=expected):
        load_policy(folder, **options)


def test_bfloat16_is_refused_without_the_hardware(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    with pytest.raises(
        CheckpointError, match="'bfloat16' is not available: this CPU has neither avx512_bf16"
    ):
        load_policy(folder, dtype="bfloat16")


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "amx_tile"])
def test_bfloat16_hardware_is_recognised(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, name: True})
    assert has_fast_bfloat16()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert not has_fast_bfloat16()


def test_bfloat16_is_close_to_float32(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_fast_bfloat16():
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})  # torch emulates it
    exact, rounded = infer(load_policy(folder)), infer(load_policy(folder, dtype="bfloat16"))
    difference = np.abs(exact - rounded).max()
    assert 0.0 < difference < 0.02 * 1.5

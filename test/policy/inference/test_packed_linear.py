# SPDX-License-Identifier: Apache-2.0
"""Packed linear layers equal plain ones, and plain ones replace them where torch has no packed product."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from dit_policy_ros.policy.inference import _torch_private as torch_private
from dit_policy_ros.policy.inference._packed_linear import PackedLinear


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("activation", ["none", "gelu", "gelu_tanh", "silu"])
def test_a_packed_linear_equals_a_plain_one(packs: bool, activation: Any) -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(300, 250), torch.randn(300)
    x, residual = 0.1 * torch.randn(2, 3, 250), torch.randn(2, 3, 300)
    functions = {
        "none": lambda y: y,
        "gelu": torch.nn.GELU(),
        "gelu_tanh": torch.nn.GELU("tanh"),
        "silu": torch.nn.SiLU(),
    }
    layer = PackedLinear(weight, bias, torch.float32, activation, pack=packs)
    assert layer.is_packed == packs
    expected = functions[activation](x @ weight.T + bias)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.plus(x, residual), expected + residual, rtol=1e-5, atol=1e-5)


@pytest.fixture
def fresh_trial() -> Iterator[None]:
    """The trial of torch's private functions runs again, before and after the test."""
    torch_private.has_packed_linear.cache_clear()
    yield
    torch_private.has_packed_linear.cache_clear()


class WithoutPackedLinear:
    """Stands in for ``torch.ops.mkldnn`` of a torch that has renamed its private functions."""


class OtherSignature:
    """Stands in for ``torch.ops.mkldnn`` of a torch that has changed an argument."""

    _reorder_linear_weight = torch.ops.mkldnn._reorder_linear_weight

    @staticmethod
    def _linear_pointwise(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *, post_op: str) -> None:
        raise AssertionError("called with another signature")


class OtherResult:
    """Stands in for ``torch.ops.mkldnn`` of a torch whose function computes something else."""

    @staticmethod
    def _reorder_linear_weight(weight: torch.Tensor) -> torch.Tensor:
        return weight + 1.0

    _linear_pointwise = torch.ops.mkldnn._linear_pointwise


@pytest.mark.parametrize(
    ("ops", "reason"),
    [
        (WithoutPackedLinear, "AttributeError: "),
        (OtherSignature, "TypeError: "),
        (OtherResult, "its results are wrong by "),
    ],
)
def test_a_torch_with_other_private_functions_runs_unpacked_and_a_warning_says_so(
    ops: type,
    reason: str,
    fresh_trial: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(torch.ops, "mkldnn", ops)
    torch.manual_seed(0)
    weight, bias, x = torch.randn(300, 250), torch.randn(300), 0.1 * torch.randn(2, 3, 250)
    layers = [PackedLinear(weight, bias, torch.float32, "silu") for _ in range(2)]
    assert not any(layer.is_packed for layer in layers)
    assert torch.equal(layers[0](x), torch.nn.functional.silu(torch.nn.functional.linear(x, weight, bias)))
    assert [
        record.getMessage() for record in caplog.records if reason in record.getMessage()
    ] == caplog.messages
    assert len(caplog.messages) == 1 and "the packed linear product of oneDNN cannot be used" in caplog.text


def test_a_torch_without_onednn_runs_unpacked(fresh_trial: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not PackedLinear(torch.randn(300, 250), torch.randn(300), torch.float32).is_packed


def test_small_weights_are_not_packed() -> None:
    assert not PackedLinear(torch.randn(30, 25), torch.randn(30), torch.float32).is_packed

# SPDX-License-Identifier: Apache-2.0
"""Every use of a torch API that torch does not document, each with a fallback to a documented one.

A torch release may rename or change these without notice. Inference then gets slower, not wrong.
"""

import functools
import logging
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

Activation = Literal["none", "gelu", "gelu_tanh", "silu"]

_POST_OPS: dict[Activation, tuple[str, str]] = {
    "none": ("none", ""),
    "gelu": ("gelu", "none"),
    "gelu_tanh": ("gelu", "tanh"),
    "silu": ("swish", ""),
}
"""oneDNN's name of each activation, and of its algorithm."""

_TRIAL_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1}

logger = logging.getLogger(__name__)


def pack_weight(weight: Tensor) -> Tensor:
    """Reorder a weight (out, in) into oneDNN's blocked layout, once."""
    return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())


def packed_linear(x: Tensor, packed: Tensor, bias: Tensor, activation: Activation) -> Tensor:
    """``activation(x W^T + b)`` with a weight from ``pack_weight``: (..., in) -> (..., out)."""
    name, algorithm = _POST_OPS[activation]
    return torch.ops.mkldnn._linear_pointwise(x, packed, bias, name, [], algorithm)


def packed_linear_add(x: Tensor, residual: Tensor, packed: Tensor, bias: Tensor) -> Tensor:
    """``residual + x W^T + b`` with a weight from ``pack_weight``: (..., in), (..., out) -> (..., out)."""
    return torch.ops.mkldnn._linear_pointwise.binary(x, residual, packed, bias, "add")


def activate(y: Tensor, activation: Activation) -> Tensor:
    """The same activations by torch's documented functions."""
    match activation:
        case "gelu" | "gelu_tanh":
            return functional.gelu(y, approximate="tanh" if activation == "gelu_tanh" else "none")
        case "silu":
            return functional.silu(y)
    return y


@functools.cache
def has_packed_linear(dtype: torch.dtype) -> bool:
    """Whether the three functions above work here: tries each once, and compares it with ``linear``.

    A torch without oneDNN, or with other signatures, fails the trial; a warning then says so once per dtype.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        error = _trial_error(dtype)
    except Exception as failure:  # noqa: BLE001 - a changed private function can fail in any way
        problem = first_line(failure)
    else:
        if error <= _TRIAL_TOLERANCE[dtype]:
            return True
        problem = f"its results are wrong by {error:g}"
    logger.warning(
        "torch %s: the packed linear product of oneDNN cannot be used in %s (%s). Inference uses "
        "torch.nn.functional.linear, which is slower.",
        torch.__version__,
        dtype,
        problem,
    )
    return False


def first_line(error: BaseException) -> str:
    """Type and first line of an error; torch's own messages go on for pages."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _trial_error(dtype: torch.dtype) -> float:
    """Largest difference of a small packed product from the plain one."""
    x, weight = (torch.linspace(-1.0, 1.0, 8 * rows).reshape(rows, 8).to(dtype) for rows in (3, 6))
    bias, residual = torch.linspace(0.0, 1.0, 6).to(dtype), torch.ones(3, 6).to(dtype)
    packed, plain = pack_weight(weight), functional.linear(x, weight, bias)  # (3, 6)
    pairs = [(packed_linear(x, packed, bias, each), activate(plain, each)) for each in _POST_OPS]
    pairs.append((packed_linear_add(x, residual, packed, bias), residual + plain))
    return max(float((got - expected).abs().max()) for got, expected in pairs)


def write_counts(tensors: Sequence[Tensor | None]) -> list[Any] | None:
    """How often torch has counted a write to each tensor; None if this torch, or a tensor, does not count.

    Tensors made in ``torch.inference_mode`` have no counter.
    """
    try:
        return [None if tensor is None else tensor._version for tensor in tensors]
    except (AttributeError, RuntimeError):
        return None

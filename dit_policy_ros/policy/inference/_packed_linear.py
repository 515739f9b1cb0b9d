# SPDX-License-Identifier: Apache-2.0
"""A linear layer for inference: weights laid out for the processor, activation and addition in the same pass.

On the CPU the products go to oneDNN with its weights reordered once; its epilogues spare a pass over the
result. Elsewhere, and where torch was built without oneDNN, the same is done in plain steps.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Literal["none", "gelu", "gelu_tanh", "silu"]
_EPILOGUE = {
    "none": ("none", ""),
    "gelu": ("gelu", "none"),
    "gelu_tanh": ("gelu", "tanh"),
    "silu": ("swish", ""),
}


LEAST_PACKED = 2**16
"""Entries of a weight from which on packing pays: below, what a call costs outweighs what it saves."""


def can_pack(weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether oneDNN's packed products exist for this device and type, and pay."""
    if weight.device.type != "cpu" or dtype not in (torch.float32, torch.bfloat16):
        return False
    if weight.numel() < LEAST_PACKED:
        return False
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class PackedLinear(nn.Module):
    """``activation(x W^T + b)``; of the weights there are no gradients."""

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        dtype: torch.dtype,
        activation: Activation = "none",
        pack: bool = True,
    ) -> None:
        """Lay out weights.

        Args:
            weight: (out, in); not changed.
            bias: (out,).
            dtype: what it computes in, and what ``x`` and the result are.
            activation: applied to the result.
            pack: False keeps to operations that have gradients of their input and that compilers know.
        """
        super().__init__()
        self.activation: Activation = activation
        self.is_packed = pack and can_pack(weight, dtype)
        cast = weight.detach().to(dtype)
        packed = torch.ops.mkldnn._reorder_linear_weight(cast.contiguous()) if self.is_packed else cast
        self.register_buffer("weight", packed)
        self.register_buffer("bias", bias.detach().to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        if self.is_packed:
            name, algorithm = _EPILOGUE[self.activation]
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, name, [], algorithm)
        y = functional.linear(x, self.weight, self.bias)
        match self.activation:
            case "gelu" | "gelu_tanh":
                return functional.gelu(y, approximate="tanh" if self.activation == "gelu_tanh" else "none")
            case "silu":
                return functional.silu(y)
        return y

    def plus(self, x: Tensor, residual: Tensor) -> Tensor:
        """``residual + forward(x)``: (..., in), (..., out) -> (..., out)."""
        if self.is_packed and self.activation == "none":
            return torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.weight, self.bias, "add")
        return residual + self(x)

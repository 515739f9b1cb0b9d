# SPDX-License-Identifier: Apache-2.0
"""A linear layer for inference: packed weight, activation and addition in the same pass.

On the CPU, oneDNN multiplies with a weight that was reordered once, and applies the activation or adds the
residual while the result is still in cache. On a GPU, for small weights, and where torch has no such product,
the layer does the same in separate operations.

Time relative to ``nn.Linear`` (float32, one thread of an EPYC): 0.44 to 0.79 by shape
(``python bench/bench_forms.py``).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_policy_ros.policy.inference._torch_private import (
    Activation,
    activate,
    has_packed_linear,
    pack_weight,
    packed_linear,
    packed_linear_add,
)

MIN_PACKED_ENTRIES = 2**16
"""Smallest weight that is packed [entries]. Below, a call costs more than packing saves."""


def can_pack(weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether packing works for this weight's device and this dtype, and makes the product faster."""
    if weight.device.type != "cpu" or dtype not in (torch.float32, torch.bfloat16):
        return False
    return weight.numel() >= MIN_PACKED_ENTRIES and has_packed_linear(dtype)


class PackedLinear(nn.Module):
    """``activation(x W^T + b)``. Its weights have no gradients."""

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
        """Copy the weights, packed if possible.

        Args:
            weight: (out, in); not changed.
            bias: (out,).
            dtype: of the computation, of ``x`` and of the result.
            activation: applied to the result.
            pack: False uses only operations that can be differentiated by ``x``, traced and compiled.
        """
        super().__init__()
        self.activation: Activation = activation
        self.is_packed = pack and can_pack(weight, dtype)
        cast = weight.detach().to(dtype)
        self.register_buffer("weight", pack_weight(cast) if self.is_packed else cast)
        self.register_buffer("bias", bias.detach().to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        if self.is_packed:
            return packed_linear(x, self.weight, self.bias, self.activation)
        return activate(functional.linear(x, self.weight, self.bias), self.activation)

    def plus(self, x: Tensor, residual: Tensor) -> Tensor:
        """``residual + forward(x)``: (..., in), (..., out) -> (..., out)."""
        if self.is_packed and self.activation == "none":
            return packed_linear_add(x, residual, self.weight, self.bias)
        return residual + self(x)

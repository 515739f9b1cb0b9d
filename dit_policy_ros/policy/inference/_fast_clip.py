# SPDX-License-Identifier: Apache-2.0
"""CLIP's vision transformer for inference. Equal to the trained one to rounding.

Query, key and value are one product. Activation and residual are part of the products. The quick GELU
x sigmoid(a x) with a = 1.702 is SiLU(a x) / a; both factors are folded into the weights around it. If only
the class token is used, the last layer computes only that token: one of 197 in ViT-B/16.

Time relative to transformers' ``CLIPVisionModel`` with ``sdpa`` attention (float32, one thread of an EPYC):
0.63 for the shipped policy and 0.45 for ViT-B/16. ``torch.compile`` of the trained model takes 0.96 and 0.98
(``python bench/bench_forms.py``).

Shapes: B images, P patches, L = 1 + P tokens, F feature, N heads, D head dimension.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

from dit_policy_ros.policy.inference._packed_linear import PackedLinear
from dit_policy_ros.policy.inference._torch_private import Activation

_QUICK = 1.702  # a of the quick GELU
_ACTIVATIONS: dict[str, tuple[Activation, float]] = {
    "quick_gelu": ("silu", _QUICK),
    "gelu": ("gelu", 1.0),
    "gelu_pytorch_tanh": ("gelu_tanh", 1.0),
    "silu": ("silu", 1.0),
}
"""By CLIP's name: the activation of ``PackedLinear``, and the factor a of ``activation(a x) / a``."""


def is_covered(architecture: object) -> bool:
    """Whether ``FastClip`` computes this architecture."""
    return isinstance(architecture, CLIPVisionConfig) and architecture.hidden_act in _ACTIVATIONS


class FastClip(nn.Module):
    """Replaces a ``VisionEncoder`` of the family ``clip``. Has no gradients."""

    first: Tensor
    positions: Tensor

    def __init__(self, model: CLIPVisionModel, dtype: torch.dtype, pack: bool = True) -> None:
        """Restructure a model in evaluation mode. Later changes of its weights have no effect.

        Args:
            model: ``is_covered(model.config)`` must hold.
            dtype: of the computation.
            pack: as for ``PackedLinear``.
        """
        super().__init__()
        self.dtype = dtype
        embeddings, width = model.embeddings, model.config.hidden_size
        self.patch = embeddings.patch_size
        kernel = embeddings.patch_embedding.weight.flatten(1)  # (F, 3 patch patch)
        self.embed = PackedLinear(kernel, torch.zeros(width, device=kernel.device), dtype, pack=pack)
        positions = embeddings.position_embedding.weight.detach().to(dtype)  # (L, F)
        self.register_buffer("first", (embeddings.class_embedding.to(dtype) + positions[0]).view(1, 1, -1))
        self.register_buffer("positions", positions[1:])
        self.norm = _Norm(model.pre_layrnorm, dtype)
        layers = [_Layer(layer, dtype, pack) for layer in model.encoder.layers]
        self.layers = nn.ModuleList(layers)
        self._in_order = tuple(layers)

    def forward(self, images: Tensor, patches: bool = False) -> Tensor:
        """(B, 3, height, width) -> the class token (B, F), or with ``patches`` all tokens (B, L, F)."""
        *layers, last = self._in_order
        x = self._tokens(images.to(self.dtype))
        for layer in layers:
            x = layer(x)
        result = last(x) if patches else last.first(x)
        return result.to(images.dtype)

    def _tokens(self, images: Tensor) -> Tensor:
        """(B, 3, height, width) -> (B, L, F). A convolution without overlap is one product."""
        side = self.patch
        windows = images.unflatten(-1, (-1, side)).unflatten(-3, (-1, side))  # (B, 3, y, side, x, side)
        windows = windows.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (B, P, 3 side side)
        tokens = self.embed(windows) + self.positions
        return self.norm(torch.cat((self.first.expand(images.shape[0], -1, -1), tokens), dim=1))


class _Norm(nn.Module):
    weight: Tensor
    bias: Tensor

    def __init__(self, norm: nn.LayerNorm, dtype: torch.dtype) -> None:
        super().__init__()
        self.shape, self.eps = norm.normalized_shape, norm.eps
        self.register_buffer("weight", norm.weight.detach().to(dtype))
        self.register_buffer("bias", norm.bias.detach().to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.shape, self.weight, self.bias, self.eps)


class _Layer(nn.Module):
    """One pre-norm layer of the encoder: attention and MLP."""

    def __init__(self, layer: Any, dtype: torch.dtype, pack: bool) -> None:
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        self.heads, self.scale = attention.num_heads, attention.scale
        parts = (attention.q_proj, attention.k_proj, attention.v_proj)
        weight, bias = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
        self.qkv = PackedLinear(weight, bias, dtype, pack=pack)
        self.out = PackedLinear(attention.out_proj.weight, attention.out_proj.bias, dtype, pack=pack)
        activation, factor = _ACTIVATIONS[mlp.config.hidden_act]
        self.widen = PackedLinear(mlp.fc1.weight * factor, mlp.fc1.bias * factor, dtype, activation, pack)
        self.narrow = PackedLinear(mlp.fc2.weight / factor, mlp.fc2.bias, dtype, pack=pack)
        self.norm1 = _Norm(layer.layer_norm1, dtype)
        self.norm2 = _Norm(layer.layer_norm2, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, F) -> (B, L, F)."""
        query, key, value = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        return self._update(x, query, key, value)

    def first(self, x: Tensor) -> Tensor:
        """The first token of ``forward``'s result, alone: (B, L, F) -> (B, F)."""
        query, key, value = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        return self._update(x[:, :1], query[:, :1], key, value)[:, 0]

    def _update(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value))
        mixed = functional.scaled_dot_product_attention(q, k, v, scale=self.scale)  # (B, N, ., D)
        x = self.out.plus(mixed.transpose(1, 2).flatten(2), x)
        return self.narrow.plus(self.widen(self.norm2(x)), x)

# SPDX-License-Identifier: Apache-2.0
"""The denoising network with the conditioning ``adaln``, factorised. Equal to the trained one to rounding.

A layer's modulation is W SiLU([time, observation]) + b. SiLU acts on each entry, so the modulation is the sum
of a half that depends only on the time and a half that depends only on the observation. The first is computed
once per timestep and kept; the second is computed once per inference. No denoising step multiplies with W,
which holds 80% of the weights at LeRobot's default size.

Time of a 10-step loop relative to the trained network (float32, one thread of an EPYC): packed 0.66 for the
shipped policy and 0.30 at LeRobot's default size, traced 0.53 and 0.56. ``torch.compile`` of the trained
network takes 0.76 and 0.97 (``python bench/bench_forms.py``).

Shapes: B batch, T horizon, L layers, H hidden, N heads, D head dimension, C_obs observation entries.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dit_policy_ros.policy.inference._block_cache import BlockCache
from dit_policy_ros.policy.inference._packed_linear import PackedLinear
from dit_policy_ros.policy.network import AdaLNBlocks, DiffusionTransformer
from dit_policy_ros.policy.sampling import Predictor, time_tensor

_SCALES = (1, 4)  # a layer's six values: shift, scale, gate of the attention, then of the MLP


class FactorisedDenoiser(nn.Module):
    """Holds packed copies of the layers' weights, and views of the rest."""

    def __init__(self, network: DiffusionTransformer, dtype: torch.dtype, pack: bool = True) -> None:
        """Restructure a network in evaluation mode. Later changes of its weights have no effect.

        Args:
            network: with ``AdaLNBlocks`` as layers.
            dtype: of the layers' products; sums and norms stay float32.
            pack: as for ``PackedLinear``.
        """
        super().__init__()
        blocks = network.transformer_blocks
        if not isinstance(blocks, AdaLNBlocks):
            raise ValueError(f"expected layers of the conditioning 'adaln', got {type(blocks).__name__}")
        self.network = network
        self.dtype = dtype
        layers = [_Layer(block, dtype, pack) for block in blocks]
        self.layers = nn.ModuleList(layers)
        self._in_order = tuple(layers)  # iterating over a ModuleList is slow, and hides the type of its items
        modulations: list[nn.Linear] = [layer.modulation for layer in layers]
        time_dim = network.config.timestep_embed_dim
        self._time_weights = [(m.weight[:, :time_dim], m.bias) for m in modulations]
        # One row times these weights is bound by memory, so fewer bytes are faster.
        self._observation_weights = [m.weight[:, time_dim:].to(dtype) for m in modulations]
        self._time_modulations: dict[float, Tensor] = {}

    def observation_modulation(self, observation: Tensor) -> Tensor:
        """The observation's half of the modulation: (B, C_obs) -> (B, L, 6, H) float32."""
        active = functional.silu(observation).to(self.dtype)  # (B, C_obs)
        halves = [functional.linear(active, weight) for weight in self._observation_weights]  # L of (B, 6 H)
        return torch.stack(halves, dim=1).unflatten(-1, (6, -1)).float()

    def time_modulation(self, t: float) -> Tensor:
        """The time's half of the modulation, computed once per timestep: (L, 6, H) float32.

        It includes the biases, and the 1 of ``1 + scale``.
        """
        if t not in self._time_modulations:
            like = self.network.output_proj.weight
            time = functional.silu(self.network.time_mlp(time_tensor(t, 1, like)))[0]  # (C_time,)
            halves = [functional.linear(time, *pair) for pair in self._time_weights]  # L of (6 H,)
            modulation = torch.stack(halves).unflatten(-1, (6, -1))  # (L, 6, H)
            modulation[:, _SCALES] += 1.0
            self._time_modulations[t] = modulation
        return self._time_modulations[t]

    def predictor(
        self, observation: Tensor, step: nn.Module | None = None, cache: BlockCache | None = None
    ) -> Predictor:
        """The network for one observation.

        Args:
            observation: (B, C_obs).
            step: computes ``forward`` instead of this module, e.g. its trace.
            cache: computes each block, or reuses an earlier output of it.
        """
        observed = self.observation_modulation(observation)
        if cache is not None:
            return lambda x, t: self._forward_cached(x, observed + self.time_modulation(t), t, cache)
        # Not `step or self`: a compiled module without len() cannot be tested for truth.
        step = self if step is None else step
        return lambda x, t: step(x, observed + self.time_modulation(t))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """(B, T, A), (B, L, 6, H) -> (B, T, A)."""
        h = self._embed(x)
        for i, layer in enumerate(self._in_order):
            h = layer(h, modulation[:, i])
        return self.network.output_proj(h)

    def _forward_cached(self, x: Tensor, modulation: Tensor, t: float, cache: BlockCache) -> Tensor:
        """``forward`` with the outputs of attention and MLP from the cache. The gates are those of ``t``."""
        cache.begin_step(t)
        h = self._embed(x)
        for i, layer in enumerate(self._in_order):
            values = modulation[:, i]  # (B, 6, H)
            h = torch.addcmul(h, values[:, 2:3], cache(2 * i, layer.attention, h, values))
            h = torch.addcmul(h, values[:, 5:6], cache(2 * i + 1, layer.mlp, h, values))
        return self.network.output_proj(h)

    def _embed(self, x: Tensor) -> Tensor:
        h = self.network.input_proj(x)  # (B, T, H)
        positions = self.network.pos_embedding
        return h if positions is None else h + positions[:, : x.shape[1]]


class _Layer(nn.Module):
    """One ``TransformerBlock``, with queries and keys rotated in one pass."""

    cos: Tensor
    sin: Tensor

    def __init__(self, block: Any, dtype: torch.dtype, pack: bool) -> None:
        super().__init__()
        self.modulation: nn.Linear = block.adaLN_modulation[1]
        if block.uses_rope:
            attention = block.attn
            self.heads = attention.heads
            qkv_weight, qkv_bias = attention.qkv_proj.weight, attention.qkv_proj.bias
            half = attention.rope.sin.shape[-1] // 2
            sign = torch.ones_like(attention.rope.sin[0])  # (D,)
            sign[:half] = -1.0
            self.register_buffer("cos", attention.rope.cos[:, None, None].to(dtype))  # (T, 1, 1, D)
            self.register_buffer("sin", (sign * attention.rope.sin)[:, None, None].to(dtype))
        else:
            attention = block.multihead_attn
            self.heads = attention.num_heads
            qkv_weight, qkv_bias = attention.in_proj_weight, attention.in_proj_bias
        self.uses_rope = block.uses_rope
        self.dtype = dtype
        self.eps, self.shape = block.norm1.eps, block.norm1.normalized_shape
        self.qkv = PackedLinear(qkv_weight, qkv_bias, dtype, pack=pack)
        self.out = PackedLinear(attention.out_proj.weight, attention.out_proj.bias, dtype, pack=pack)
        widen, _, narrow = block.mlp
        self.widen = PackedLinear(widen.weight, widen.bias, dtype, "gelu_tanh", pack)
        self.narrow = PackedLinear(narrow.weight, narrow.bias, dtype, pack=pack)

    def forward(self, h: Tensor, values: Tensor) -> Tensor:
        """(B, T, H), (B, 6, H) -> (B, T, H). The scales already include the 1 of ``1 + scale``."""
        h = torch.addcmul(h, values[:, 2:3], self.attention(h, values))
        return torch.addcmul(h, values[:, 5:6], self.mlp(h, values))

    def attention(self, h: Tensor, values: Tensor) -> Tensor:
        """The attention's output before its gate: (B, T, H), (B, 6, H) -> (B, T, H)."""
        return self._attend(self._norm(h, values[:, 0:1], values[:, 1:2])).to(h.dtype)

    def mlp(self, h: Tensor, values: Tensor) -> Tensor:
        """The MLP's output before its gate: (B, T, H), (B, 6, H) -> (B, T, H)."""
        return self.narrow(self.widen(self._norm(h, values[:, 3:4], values[:, 4:5]))).to(h.dtype)

    def _norm(self, h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return torch.addcmul(shift, functional.layer_norm(h, self.shape, eps=self.eps), scale).to(self.dtype)

    def _attend(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # (B, T, 3, N, D)
        pair = qkv[:, :, :2]
        if self.uses_rope:
            lower, upper = pair.chunk(2, dim=-1)
            length = x.shape[1]
            swapped = torch.cat((upper, lower), dim=-1)
            pair = torch.addcmul(pair * self.cos[:length], swapped, self.sin[:length])
        query, key, value = (part.transpose(1, 2) for part in (pair[:, :, 0], pair[:, :, 1], qkv[:, :, 2]))
        mixed = functional.scaled_dot_product_attention(query, key, value)  # (B, N, T, D)
        return self.out(mixed.transpose(1, 2).flatten(2))

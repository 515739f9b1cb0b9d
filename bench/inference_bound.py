# SPDX-License-Identifier: Apache-2.0
"""A lower bound of the inference time on this processor: the matrix products alone, each measured.

Counts the products and the attention of the vision transformer per image, and of every layer of the denoising
network per step, and the conditioning's weights, read once per inference. Each product is measured in its own
shape, with as many different weights as there are layers, so that caches help as much as in the network. The
fastest of torch's implementations counts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from inference_clock import duration
from torch import Tensor
from torch.nn import functional
from transformers import CLIPVisionConfig

from dit_policy_ros.policy.config import PolicyConfig
from dit_policy_ros.policy.inference._packed_linear import PackedLinear

Shape = tuple[int, int]  # inputs, outputs


@dataclass(frozen=True, slots=True)
class Bound:
    """The measured bound."""

    figures: dict[str, dict[str, float]]  # by dtype: times [s], operations of a step

    def loop(self, dtype: str, steps: int) -> float:
        """A denoising loop, with the observation's half of the conditioning [s]."""
        return self.figures[dtype]["conditioning"] + steps * self.figures[dtype]["step"]

    def chunk(self, dtype: str, frames: int, steps: int) -> float:
        """A whole chunk with new frames only [s]."""
        return frames * self.figures[dtype]["frame"] + self.loop(dtype, steps)


def measure_bound(config: PolicyConfig, vision: CLIPVisionConfig, dtypes: list[str], seconds: float) -> Bound:
    """Measure all products of a policy with the conditioning ``adaln``, each for at least ``seconds`` [s]."""
    frames = len(config.image_features) * config.read_image_steps
    hidden, layers, length = config.hidden_dim, config.num_layers, config.horizon
    step_shapes = [(hidden, 3 * hidden), (hidden, hidden), (hidden, 4 * hidden), (4 * hidden, hidden)]
    width, wide = vision.hidden_size, vision.intermediate_size
    patches = (vision.image_size // vision.patch_size) ** 2
    encoder_shapes = [(width, 3 * width), (width, width), (width, wide), (wide, width)]
    vector = config.n_obs_steps * (config.state_dim + hidden) + frames * width
    figures = {}
    for name in dtypes:
        dtype = getattr(torch, name)
        step = products(step_shapes, layers, length, dtype, seconds)
        queries = (1, config.num_heads, length, hidden // config.num_heads)
        step += layers * attention(queries, length, dtype, seconds)
        full = vision.num_hidden_layers - 1  # the last layer computes keys, values and the first token
        tokens = frames * (patches + 1)
        encoder = products(encoder_shapes, full, tokens, dtype, seconds)
        heads = vision.num_attention_heads
        queries = (frames, heads, patches + 1, width // heads)
        encoder += full * attention(queries, patches + 1, dtype, seconds)
        encoder += products([(width, 3 * width)], 1, tokens, dtype, seconds)
        encoder += products(encoder_shapes[1:], 1, frames, dtype, seconds)
        encoder += attention((frames, heads, 1, width // heads), patches + 1, dtype, seconds)
        encoder += products([(3 * vision.patch_size**2, width)], 1, frames * patches, dtype, seconds)
        conditioning = products([(vector, 6 * hidden)], layers, 1, dtype, seconds)
        flops = 2 * length * sum(i * o for i, o in step_shapes) * layers
        figures[name] = {
            "frame": encoder / frames,
            "conditioning": conditioning,
            "step": step,
            "step_gflop": flops * 1e-9,
            "step_gflop_per_s": flops / step * 1e-9,
        }
    return Bound(figures)


def products(shapes: list[Shape], layers: int, rows: int, dtype: torch.dtype, seconds: float) -> float:
    """Time of all layers' products for inputs of ``rows`` rows [s]."""
    with torch.inference_mode():
        inputs = [torch.randn(rows, i).to(dtype) for i, _ in shapes]
        weights = [[torch.randn(o, i) * 0.02 for i, o in shapes] for _ in range(layers)]
        biases = [torch.zeros(o) for _, o in shapes]
        packed = [[PackedLinear(w, b, dtype) for w, b in zip(ws, biases, strict=True)] for ws in weights]
        plain = [[(w.to(dtype), b.to(dtype)) for w, b in zip(ws, biases, strict=True)] for ws in weights]

        def run_packed() -> None:
            for layer in packed:
                for linear, x in zip(layer, inputs, strict=True):
                    linear(x)

        def run_plain() -> None:
            for layer in plain:
                for (weight, bias), x in zip(layer, inputs, strict=True):
                    functional.linear(x, weight, bias)

        return min(typical(run_packed, seconds), typical(run_plain, seconds))


def attention(queries: tuple[int, int, int, int], keys: int, dtype: torch.dtype, seconds: float) -> float:
    """One scaled dot-product attention [s].

    Args:
        queries: shape (batch, heads, queries, head dimension).
        keys: number of keys.
        dtype: of the computation.
        seconds: least measuring time [s].
    """
    with torch.inference_mode():
        shape = (*queries[:2], keys, queries[3])
        key, value = (torch.randn(shape).to(dtype) for _ in range(2))
        query: Tensor = torch.randn(shape).to(dtype)[:, :, : queries[2]]
        return typical(lambda: functional.scaled_dot_product_attention(query, key, value), seconds)


def typical(call: Callable[[], object], at_least_s: float, least: int = 10) -> float:
    """The median duration [s] of at least ``least`` calls that take at least ``at_least_s`` together."""
    call()
    durations: list[float] = []
    while len(durations) < least or sum(durations) < at_least_s:
        durations.append(duration(call))
    return float(np.median(durations))

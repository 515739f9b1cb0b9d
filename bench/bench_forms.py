#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which form of each network is fastest on a CPU: trained, restructured, traced, exported or compiled.

Compares PackedLinear with nn.Linear, FastClip with transformers' CLIP, and 10-step denoising loops of the
factorised network with those of the trained one. A `..._ratio` is the time of a form divided by that of the
trained module: below 1 is faster.

Measures processor time of one thread, all forms in turns, so that other processes affect all forms alike.
Compiling takes most of the time; `--forms` leaves forms out.

    python bench/bench_forms.py
"""

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from command_line import make_parser, parse, write_figures
from default_model import default_config, default_vision, open_gates
from inference_clock import duration, use_processor_time
from torch import Tensor, nn
from transformers import CLIPTextConfig

from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.dit_policy import DiTPolicy, make_objective
from dit_policy_ros.policy.inference import has_fast_bfloat16
from dit_policy_ros.policy.inference._fast_adaln import FactorisedDenoiser
from dit_policy_ros.policy.inference._fast_clip import FastClip
from dit_policy_ros.policy.inference._network_forms import CompiledNetwork, TracedNetwork
from dit_policy_ros.policy.inference._packed_linear import PackedLinear
from dit_policy_ros.policy.sampling import make_predictor, time_tensor

FORMS = (
    "trained_compiled",
    "packed",
    "traced",
    "exported",
    "compiled",
    "packed_bfloat16",
    "traced_bfloat16",
    "compiled_bfloat16",
)
SHAPES = ((197, 768, 3072), (195, 128, 512), (24, 128, 512), (32, 512, 2048))  # rows, inputs, outputs
MODELS = ("shipped", "default")
STEPS = 10  # of a denoising loop
AT_LEAST = 0.005  # [s] per measurement; short calls are repeated within one
Make = Callable[[], Callable[[], object]]
Figures = dict[str, Any]


def compare(trained: Callable[[], object], forms: Mapping[str, Make], rounds: int) -> Figures:
    """Prepare all forms, measure them in turns, and return times [s] and ratios to the trained module."""
    figures, calls = {}, {"trained": trained}
    with torch.inference_mode():
        for name, make in forms.items():
            start = time.perf_counter()
            calls[name] = make()
            figures[f"{name}_preparation"] = time.perf_counter() - start  # [s] on the wall
        for call in calls.values():
            call()
            call()
        repeats = {name: math.ceil(AT_LEAST / max(duration(call), 1e-6)) for name, call in calls.items()}
        times: dict[str, list[float]] = {name: [] for name in calls}
        for i in range(rounds):
            for name in list(calls)[:: -1 if i % 2 else 1]:
                times[name].append(duration(_repeat, calls[name], repeats[name]) / repeats[name])
    for name, values in times.items():
        figures[name] = float(np.median(values))
        if name != "trained":
            figures[f"{name}_ratio"] = float(np.median(np.divide(values, times["trained"])))
    return figures


def _repeat(call: Callable[[], object], times: int) -> None:
    for _ in range(times):
        call()


def compare_linear(rows: int, inputs: int, outputs: int, rounds: int) -> Figures:
    """PackedLinear and nn.Linear."""
    x, linear = torch.randn(1, rows, inputs), nn.Linear(inputs, outputs)
    packed = PackedLinear(linear.weight, linear.bias, torch.float32)
    return compare(lambda: linear(x), {"packed": lambda: lambda: packed(x)}, rounds)


def compare_vision(policy: DiTPolicy, images: int, forms: Sequence[str], rounds: int) -> Figures:
    """The class token of a vision encoder for so many images."""
    encoder, config = policy.observation_encoder, policy.config
    trained: Any = encoder.first_vision_encoder
    trained.model.set_attn_implementation("sdpa")
    shape = next(iter(config.image_features.values())).shape
    x = encoder.resize_and_crop(torch.randn(images, *shape))  # (images, 3, h, w)

    def fast(dtype: torch.dtype = torch.float32, pack: bool = False) -> nn.Module:
        return FastClip(trained.model, dtype, pack)

    made = _made(trained, fast, x)
    forms_of = {name: lambda name=name: _bind(made[name](), x) for name in forms}
    return compare(lambda: trained(x), forms_of, rounds)


def compare_loops(policy: DiTPolicy, forms: Sequence[str], rounds: int) -> Figures:
    """Denoising loops, with the observation's half of the modulation."""
    config, network = policy.config, policy.noise_predictor
    objective = make_objective(
        config.with_overrides({"noise_scheduler_type": "DDIM", "sampling_steps": STEPS})
    )
    observation = torch.randn(1, policy.observation_encoder.output_dim)
    noise = torch.randn(1, config.horizon, config.action_dim)
    modulation = torch.randn(1, config.num_layers, 6, config.hidden_dim)
    t = time_tensor(50, 1, noise)

    def trained_loop(form: nn.Module) -> Callable[[], Tensor]:
        return lambda: objective.sample(make_predictor(form, observation), noise)

    def loop(name: str) -> Callable[[], Tensor]:
        if name == "trained_compiled":
            return trained_loop(_compile(network, noise, t, observation))
        dtype = torch.bfloat16 if name.endswith("bfloat16") else torch.float32
        denoiser = FactorisedDenoiser(network, dtype, pack=name.startswith("packed"))
        made = _made(network, lambda *_: denoiser, noise, modulation)
        step = None if name.startswith("packed") else made[name]()
        return lambda: objective.sample(denoiser.predictor(observation, step), noise)

    forms_of = {name: lambda name=name: loop(name) for name in forms}
    return compare(trained_loop(network), forms_of, rounds)


def _made(
    trained: nn.Module, fast: Callable[..., nn.Module], *example: Tensor
) -> dict[str, Callable[[], nn.Module]]:
    """Every form of a network: ``fast(dtype, pack)`` is the restructured one."""
    return {
        "trained_compiled": lambda: _compile(trained, *example),
        "packed": lambda: fast(torch.float32, True),
        "traced": lambda: TracedNetwork(fast(), *example),
        "exported": lambda: _export(fast(), *example),
        "compiled": lambda: CompiledNetwork(fast(), *example),
        "packed_bfloat16": lambda: fast(torch.bfloat16, True),
        "traced_bfloat16": lambda: TracedNetwork(fast(torch.bfloat16), *example),
        "compiled_bfloat16": lambda: CompiledNetwork(fast(torch.bfloat16), *example),
    }


def _compile(network: nn.Module, *example: Tensor) -> nn.Module:
    compiled: Any = torch.compile(network, dynamic=False)
    compiled(*example)
    return compiled


def _export(network: nn.Module, *example: Tensor) -> nn.Module:
    with torch.inference_mode(False), torch.no_grad():
        return torch.export.export(network, tuple(tensor.clone() for tensor in example)).module()


def _bind(network: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    return lambda: network(x)


def load_model(name: str) -> DiTPolicy:
    """The shipped policy, or LeRobot's default with random weights and a small text encoder."""
    if name == "shipped":
        policy = load_policy(default_checkpoint(), backend="plain").module
    else:
        # The text encoder takes no part in the measurements.
        text = CLIPTextConfig(vocab_size=600, num_hidden_layers=1, bos_token_id=0, eos_token_id=1)
        policy = DiTPolicy(default_config(), default_vision(), text)
        open_gates(policy)
    return policy.eval().requires_grad_(False)


def print_ratios(title: str, figures: Figures) -> None:
    """One line per form."""
    print(f"{title}: trained {1e3 * figures['trained']:.3f} ms")
    for key, value in figures.items():
        if key.endswith("_ratio"):
            print(f"  {key.removesuffix('_ratio'):20} x{value:.2f}", flush=True)


def main() -> int:
    """Measure, print, write JSON."""
    parser = make_parser(__doc__, "out/bench/forms.json")
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each form")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, help="default: all")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS, help="default: all")
    options = parse(parser, rounds=1, models=["shipped"], forms=["packed", "traced", "exported"])
    forms = [name for name in options.forms if has_fast_bfloat16() or not name.endswith("bfloat16")]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    use_processor_time()
    results: Figures = {
        "torch": torch.__version__,
        "processor": torch.cpu.get_capabilities().get("cpu_name", "unknown"),
        "rounds": options.rounds,
        "linear": {},
    }
    for rows, inputs, outputs in SHAPES:
        name = f"{rows} rows, {inputs} to {outputs}"
        results["linear"][name] = compare_linear(rows, inputs, outputs, options.rounds)
        print_ratios(f"linear, {name}", results["linear"][name])
    for model in options.models:
        policy = load_model(model)
        cameras = len(policy.config.image_features)
        vision = compare_vision(policy, cameras if model == "shipped" else 1, forms, options.rounds)
        print_ratios(f"{model}, vision encoder", vision)
        loop = compare_loops(policy, forms, options.rounds)
        print_ratios(f"{model}, {STEPS}-step loop", loop)
        results[model] = {"vision": vision, "loop": loop}
    write_figures(options.output, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

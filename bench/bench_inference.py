#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast inference is, compared with LeRobot's on the same weights and with a lower bound.

Both run in one process, in turns, with the same device, threads, inputs and noise. On a CPU the same run also
measures the lower bound: the time of the matrix products that remain after the restructuring, in the same
shapes, and of reading the conditioning's weights once per inference. bench/README.md explains the figures.
"""

import resource
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from command_line import make_parser, parse, write_figures
from inference_bound import Bound, measure_bound
from inference_clock import duration, use_processor_time
from inference_models import Model, lerobot_default, small_model

from dit_policy_ros.policy.inference import has_fast_bfloat16

Figures = dict[str, Any]


def alternate(calls: Mapping[str, Callable[[int], object]], rounds: int) -> dict[str, np.ndarray]:
    """Durations [s] of each call by name, (rounds,), without the first round, which allocates memory."""
    durations: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds + 1):
        for name, call in calls.items():
            durations[name].append(duration(call, i))
    return {name: np.array(values[1:]) for name, values in durations.items()}


def percentiles(values: np.ndarray) -> Figures:
    """Percentiles of durations [s]."""
    return {f"p{p}": float(np.percentile(values, p)) for p in (50, 95, 99)}


def compare(
    model: Model, variants: Sequence[str], steps: int, scheduler: str, rounds: int, bound: Bound | None
) -> Figures:
    """Measure whole chunks, and the denoising loop alone. ``bound`` is None on a GPU: not measured."""
    theirs = model.theirs(scheduler, steps)
    options = {variant: dict(zip(("backend", "dtype"), variant.split(), strict=True)) for variant in variants}
    ours = {variant: model.ours(scheduler, steps, **options[variant]) for variant in variants}
    for policy in ours.values():
        policy.warm_up(3)
    unseen = [model.observation(seed) for seed in range(rounds + 1)]
    calls: dict[str, Callable[[int], object]] = {"lerobot": lambda i: theirs.chunk(*unseen[i])}
    for variant, policy in ours.items():
        calls[variant] = lambda i, p=policy: p.predict(*unseen[i], model.task)
    whole = alternate(calls, rounds)
    shared = [model.shared_observation(seed) for seed in range(rounds + 1)]
    calls = {"lerobot": lambda i: theirs.chunk(*shared[i])}
    for variant, policy in ours.items():
        calls[variant] = lambda i, p=policy: p.predict(*shared[i], model.task)
    sharing = alternate(calls, rounds)
    loops = {"lerobot": theirs.loop()} | {variant: model.loop(policy) for variant, policy in ours.items()}
    loop = alternate({name: lambda i, f=f: f() for name, f in loops.items()}, rounds)
    figures: Figures = {"steps": steps, "scheduler": scheduler, "rounds": rounds}
    for name in ("lerobot", *variants):
        figures[name] = {
            "chunk": percentiles(whole[name]),
            "chunk_sharing_frames": percentiles(sharing[name]),
            "denoising_loop": percentiles(loop[name]),
        }
    for variant in variants:
        group, dtype = figures[variant], options[variant]["dtype"]
        for kind, measured in (("chunk", whole), ("chunk_sharing_frames", sharing), ("denoising_loop", loop)):
            group[f"{kind}_ratio"] = float(np.median(measured["lerobot"]) / np.median(measured[variant]))
        if bound is not None:
            for kind, least in (
                ("chunk", bound.chunk(dtype, model.frames, steps)),
                ("denoising_loop", bound.loop(dtype, steps)),
            ):
                group[f"{kind}_bound"] = least
                group[f"{kind}_fraction_of_bound"] = least / group[kind]["p50"]
        group["max_abs_difference"] = model.difference(theirs, ours[variant])
        group["description"] = ours[variant].description
    return figures


def line(name: str, figures: Figures) -> str:
    """One row of the printed table."""
    row = f"  {name:<20} chunk {figures['chunk']['p50'] * 1e3:7.1f} ms"
    row += f"  sharing frames {figures['chunk_sharing_frames']['p50'] * 1e3:7.1f} ms"
    row += f"  loop {figures['denoising_loop']['p50'] * 1e3:7.1f} ms"
    if "chunk_ratio" in figures:
        ratios = (figures[f"{kind}_ratio"] for kind in ("chunk", "chunk_sharing_frames", "denoising_loop"))
        row += "   " + " ".join(f"x{ratio:.2f}" for ratio in ratios)
        if "chunk_bound" in figures:
            fractions = (figures[f"{kind}_fraction_of_bound"] for kind in ("chunk", "denoising_loop"))
            row += "   of the bound: chunk {:.0%}, loop {:.0%}".format(*fractions)
        row += f"   max abs difference {figures['max_abs_difference']:.1e}"
    return row


def main() -> int:
    """Measure, print a table, write JSON."""
    parser = make_parser(__doc__, "out/bench/inference.json")
    parser.add_argument("--rounds", type=int, default=10, help="measurements of each variant")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch")
    parser.add_argument("--device", default="cpu", help="cpu or cuda; default: %(default)s")
    parser.add_argument(
        "--steps",
        type=int,
        nargs=2,
        default=(10, 100),
        help="sampling steps of DDIM and of DDPM; default: %(default)s",
    )
    parser.add_argument(
        "--bound-seconds", type=float, default=0.5, help="measuring time per product of the bound [s]"
    )
    parser.add_argument("--quick", action="store_true", help="measure only the small model")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="measure processor time instead of wall time; for one thread on a machine that is not idle",
    )
    arguments = parse(parser, rounds=1, threads=1, steps=(2, 4), bound_seconds=0.01, quick=True)
    if arguments.processor_time:
        if arguments.threads != 1:
            parser.error(
                "--processor-time: expected --threads 1, because waiting threads use processor time too"
            )
        if arguments.device != "cpu":
            parser.error("--processor-time: expected --device cpu, because the processor waits for a GPU")
        use_processor_time()
    torch.set_num_threads(arguments.threads)
    is_gpu = arguments.device != "cpu"
    results: Figures = {
        "device": torch.cuda.get_device_name() if is_gpu else "cpu",
        "threads": arguments.threads,
        "processor_time": arguments.processor_time,
        "torch": torch.__version__,
    }
    with tempfile.TemporaryDirectory() as folder:
        models = [small_model(Path(folder), arguments.device)]
        if not arguments.quick:
            models.append(lerobot_default(Path(folder), arguments.device))
        for model in models:
            bound, results[model.name] = None, {}
            if is_gpu:
                variants = [
                    "eager float32",
                    *(f"cuda_graphs {d}" for d in ("float32", "bfloat16", "float16")),
                ]
            else:
                variants, dtypes = ["eager float32", "traced float32"], ["float32"]
                if has_fast_bfloat16():
                    variants.append("eager bfloat16")
                    dtypes.append("bfloat16")
                bound = measure_bound(model.config, model.vision, dtypes, arguments.bound_seconds)
                results[model.name]["bound"] = bound.figures
            for scheduler, steps in zip(("DDIM", "DDPM"), arguments.steps, strict=True):
                key = f"{scheduler.lower()}{steps}"
                figures = compare(model, variants, steps, scheduler, arguments.rounds, bound)
                results[model.name][key] = figures
                where = results["device"] if is_gpu else f"{arguments.threads} threads"
                print(f"{model.name}, {scheduler}, {steps} steps, {where}")
                for name in ("lerobot", *variants):
                    print(line(name, figures[name]), flush=True)
    if is_gpu:
        results["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated()
    results["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    write_figures(arguments.output, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

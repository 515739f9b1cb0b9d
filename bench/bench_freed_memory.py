#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How much of a CNN's training on the CPU is spent on getting memory, and what keeping freed memory saves.

Trains EfficientNet-Lite0's architecture up to cells of 16 pixels on random images: as the C library does it,
and with `keep_freed_memory`, each in a process of its own. Besides the seconds of a step it prints the
processor time, the kernel's included, which tolerates other load.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from command_line import make_parser, parse, write_figures
from transformers import EfficientNetConfig

from dit_policy_ros.core.freed_memory import keep_freed_memory
from dit_policy_ros.policy.encoders import VisionEncoder, shortened

SIZE, STRIDE = (192, 256), 16  # [pixel]


def measure(keeps: bool, images: int, steps: int) -> dict[str, Any]:
    """Medians of a step after two others: seconds, processor time [s], page faults; and the memory [MB]."""
    if keeps and not keep_freed_memory():
        raise SystemExit("this C library keeps no freed memory")
    torch.set_num_threads(1)
    architecture = EfficientNetConfig(
        width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, hidden_act="relu6",
        squeeze_expansion_ratio=0.0,
    )  # fmt: skip
    encoder = VisionEncoder(shortened(architecture, STRIDE), "grid", SIZE).train()
    optimizer = torch.optim.AdamW(encoder.parameters())
    pixels, rows = torch.randn(images, 3, *SIZE), list[tuple[float, float, int]]()
    for _ in range(steps + 2):
        before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        encoder(pixels).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        after = resource.getrusage(resource.RUSAGE_SELF)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        rows.append((time.perf_counter() - begun, processor, after.ru_minflt - before.ru_minflt))
    seconds, processor, faults = (statistics.median(column) for column in zip(*rows[2:], strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"seconds": seconds, "processor_seconds": processor, "page_faults": faults, "peak_mb": peak}


def main() -> None:
    """Measure, print, write JSON."""
    parser = make_parser(__doc__, "out/bench/freed_memory.json")
    parser.add_argument("--images", type=int, default=48, help="of a step; default: %(default)s")
    parser.add_argument("--steps", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--only", choices=("kept", "given back"), help="measure this one, in this process")
    options = parse(parser, images=2, steps=1)
    if options.only:
        print(json.dumps(measure(options.only == "kept", options.images, options.steps)))
        return
    figures: dict[str, Any] = {}
    for name in ("given back", "kept"):
        command = [sys.executable, __file__, "--only", name]
        command += ["--images", str(options.images), "--steps", str(options.steps)]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        figures[name] = json.loads(run.stdout)
        print(f"freed memory {name:10} {figures[name]}")
    for unit in ("seconds", "processor_seconds"):
        figures[f"{unit}_ratio"] = figures["given back"][unit] / figures["kept"][unit]
    print({name: round(figures[name], 2) for name in figures if name.endswith("ratio")})
    write_figures(options.output, figures)


if __name__ == "__main__":
    main()

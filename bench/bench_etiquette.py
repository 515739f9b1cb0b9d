#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How much inference delays a control timer in the same process, by number of torch threads.

A Python thread ticks at 50 Hz like the policy node's control timer, while another one infers without pause.
Reports the intervals between ticks at rest and under load; the period is 20 ms.
"""

import os
import sys
import threading
import time

import numpy as np
import torch
from command_line import make_parser, parse, write_figures

from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.policy import load_policy

PERIOD = 0.02  # [s]


def intervals(seconds: float) -> np.ndarray:
    """Intervals between the ticks of a timer that runs for ``seconds`` [s], (N,)."""
    due, ticks = time.monotonic(), []
    end = due + seconds
    while due < end:
        due += PERIOD
        time.sleep(max(0.0, due - time.monotonic()))
        ticks.append(time.monotonic())
    return np.diff(ticks)


def figures(measured: np.ndarray) -> dict[str, float]:
    """Percentiles and maximum of intervals [s]."""
    return {f"p{p}": float(np.percentile(measured, p)) for p in (50, 99)} | {"max": float(measured.max())}


def main() -> int:
    """Measure, print, write JSON."""
    parser = make_parser(__doc__, "out/bench/etiquette.json")
    parser.add_argument("--checkpoint", default=str(default_checkpoint()))
    parser.add_argument("--seconds", type=float, default=10.0, help="per measurement")
    arguments = parse(parser, seconds=0.2)
    policy = load_policy(arguments.checkpoint)
    policy.warm_up(3)
    results: dict[str, object] = {"cores": os.cpu_count(), "model": policy.description}
    results["at_rest"] = figures(intervals(arguments.seconds))
    print(f"at rest    {results['at_rest']}")
    for threads in range(1, (os.cpu_count() or 1) + 1):
        torch.set_num_threads(threads)
        ended = threading.Event()
        latencies: list[float] = []

        def infer(ended: threading.Event = ended, latencies: list[float] = latencies) -> None:
            while not ended.is_set():
                latencies.extend(policy.warm_up(1))

        worker = threading.Thread(target=infer)
        worker.start()
        loaded = figures(intervals(arguments.seconds))
        ended.set()
        worker.join()
        loaded["inference_p50"] = float(np.median(latencies))
        results[f"{threads}_threads"] = loaded
        print(f"{threads} threads  {loaded}")
    write_figures(arguments.output, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How much inference delays a control timer, by number of torch threads.

A Python thread ticks at 50 Hz like the policy node's control timer. Meanwhile another process infers without
pause, as the inference node does, and for comparison a thread of the same process. Reports the intervals
between ticks at rest and under load; the period is 20 ms.
"""

import contextlib
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

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
    """Percentiles and maximum of intervals, and the p99 of their error [s]."""
    error = float(np.percentile(np.abs(measured - PERIOD), 99))
    quantiles = {f"p{p}": float(np.percentile(measured, p)) for p in (50, 99)}
    return quantiles | {"max": float(measured.max()), "error_p99": error}


def infer(checkpoint: str, threads: int, begun: Any, ended: Any) -> None:
    """Infer without pause until an event is set."""
    torch.set_num_threads(threads)
    policy = load_policy(checkpoint)
    policy.warm_up(3)
    begun.set()
    while not ended.is_set():
        policy.warm_up(1)


@contextlib.contextmanager
def inferring(checkpoint: str, threads: int, in_process: bool) -> Iterator[None]:
    """Inference runs during the block, in a process of its own or in a thread."""
    context = multiprocessing.get_context("spawn")
    events = context if in_process else threading
    begun, ended = events.Event(), events.Event()
    kind = context.Process if in_process else threading.Thread
    worker = kind(target=infer, args=(checkpoint, threads, begun, ended), daemon=True)
    worker.start()
    try:
        if not begun.wait(120.0):
            sys.exit("inference does not begin")
        yield
    finally:
        ended.set()
        worker.join()


def main() -> int:
    """Measure, print, write JSON."""
    parser = make_parser(__doc__, "out/bench/etiquette.json")
    parser.add_argument("--checkpoint", default=str(default_checkpoint()))
    parser.add_argument("--seconds", type=float, default=10.0, help="per measurement")
    arguments = parse(parser, seconds=0.2)
    results: dict[str, object] = {"cores": os.cpu_count(), "at_rest": figures(intervals(arguments.seconds))}
    print(f"at rest                {results['at_rest']}")
    for threads in range(1, (os.cpu_count() or 1) + 1):
        for where in ("process", "thread"):
            with inferring(arguments.checkpoint, threads, where == "process"):
                loaded = figures(intervals(arguments.seconds))
            results[f"{threads}_threads_in_a_{where}"] = loaded
            print(f"{threads} threads in a {where:8} {loaded}")
    write_figures(arguments.output, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())

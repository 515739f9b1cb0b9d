#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast training is compared with `lerobot-train`: same network, weights, data, batch size and machine.

Both load a new checkpoint with the demo's network. The data are scripted demonstrations in the simulator. The
two run in turns, each in its own process. Samples per second are from each program's own log, over windows of
ten steps, without the first window. Memory is the peak of the summed PSS of a program's processes. Features
that only one side has are off: EMA weights, instruction dropout, balancing.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path

import psutil
import torch
from command_line import make_parser, parse, write_figures

from dit_policy_ros.core.contract import Camera
from dit_policy_ros.data.dataset import DatasetSpec, read_demonstrations
from dit_policy_ros.data.recording import DatasetWriter
from dit_policy_ros.policy.checkpoint import CheckpointFacts, relocate, write_checkpoint
from dit_policy_ros.sim.operator._demonstrate import Settings, demonstrate
from dit_policy_ros.sim.robot import FPS, JOINTS
from dit_policy_ros.training.batches import BatchMaker
from dit_policy_ros.training.new_policy import build_demo_policy, demo_config

CAMERA, IMAGE = "top", (240, 320)  # height, width [pixel]


def make_data(root: Path, episodes: int) -> None:
    """Record scripted demonstrations."""
    camera = Camera(CAMERA, f"/{CAMERA}/image_raw", *IMAGE, max_age=0.5)
    writer = DatasetWriter(root, DatasetSpec(FPS, (camera,), tuple(JOINTS), "dit_bimanual"))
    for episode in demonstrate(episodes, 1, Settings(cameras=(CAMERA,))):
        for frame in episode.frames:
            writer.add_frame(frame.images, frame.state, frame.action, episode.task.instruction)
        writer.save_episode()
    writer.finalize()


def make_checkpoint(folder: Path, root: Path) -> None:
    """Write a new checkpoint of the demo's size with the data's statistics; LeRobot loads it too."""
    data = read_demonstrations(root)
    torch.manual_seed(0)
    policy, tokenizer = build_demo_policy(
        demo_config({"observation.images." + CAMERA: IMAGE}, len(JOINTS), len(JOINTS)), data.tasks
    )
    stats = BatchMaker(data, policy, tokenizer).stats
    write_checkpoint(folder, policy, stats, CheckpointFacts(fps=FPS, joint_names=JOINTS), tokenizer)
    relocate(folder)


def run(command: list[str], threads: int) -> tuple[str, float]:
    """Run a command. Returns its output and the peak memory of its processes together [MB]."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        root = psutil.Process(process.pid)
        while not ended.wait(0.2):
            total = 0
            for each in [root, *_children(root)]:
                try:
                    total += each.memory_full_info().pss
                except psutil.Error:  # the process has ended
                    continue
            peak[0] = max(peak[0], total / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    ended.set()
    watcher.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{output[-3000:]}")
    return output, peak[0]


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def ours(
    work: Path,
    options: argparse.Namespace,
    number: int,
    stream_workers: int | None = None,
    processes: int = 1,
) -> tuple[list[float], float]:
    """Samples per second of each window, and memory [MB].

    stream_workers: processes that decode, for training from video; None keeps decoded images. processes: that
    train, each with the whole batch size.
    """
    output = work / f"ours_{number}_{stream_workers}_{processes}"
    arguments = ["--dataset", work / "data", "--init", work / "checkpoint", "--output", output]
    arguments += ["--steps", options.steps, "--batch-size", options.batch_size, "--log-every", options.window]
    arguments += ["--ema-decay", 0, "--instruction-dropout", 0, "--no-balance-tasks"]
    arguments += ["--device", "cpu" if options.device == "cpu" else "auto"]
    if stream_workers is not None:
        arguments += ["--stream", "--workers", stream_workers]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else [])]
    command += ["-m", "dit_policy_ros.cli.train", *map(str, arguments)]
    _, memory = run(command, max(1, options.threads // processes))
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [line["samples_per_second"] for line in lines[1:]], memory


def lerobots(work: Path, options: argparse.Namespace, number: int, workers: int) -> tuple[list[float], float]:
    """The same for `lerobot-train` with ``workers`` data-loading processes."""
    arguments = [
        f"--policy.path={work / 'checkpoint'}",
        f"--policy.device={options.device}",
        "--policy.push_to_hub=false",
        "--dataset.repo_id=local/data",
        f"--dataset.root={work / 'data'}",
        f"--output_dir={work / f'lerobot_{number}_{workers}'}",
        f"--steps={options.steps}",
        f"--batch_size={options.batch_size}",
        f"--num_workers={workers}",
        f"--log_freq={options.window}",
        "--save_checkpoint=false",
        "--wandb.enable=false",
    ]
    output, memory = run([str(Path(sys.executable).with_name("lerobot-train")), *arguments], options.threads)
    found = re.findall(r"updt_s:([0-9.]+) data_s:([0-9.]+)", output)
    if len(found) != options.steps // options.window:
        sys.exit(
            f"expected {options.steps // options.window} lines with updt_s and data_s, got:\n{output[-3000:]}"
        )
    return [options.batch_size / (float(update) + float(data)) for update, data in found[1:]], memory


def main() -> None:
    parser = make_parser(__doc__, "out/bench/training.json")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each program")
    parser.add_argument("--steps", type=int, default=50, help="training steps of each run")
    parser.add_argument("--window", type=int, default=10, help="steps per line of the log")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--episodes", type=int, default=20, help="number of demonstrations")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--workers",
        type=int,
        nargs="+",
        default=[0, 4],
        help="numbers of LeRobot's data-loading processes to measure",
    )
    parser.add_argument(
        "--stream-workers",
        type=int,
        nargs="+",
        default=[1, 4],
        help="numbers of processes that decode, of ours when it trains from video",
    )
    parser.add_argument(
        "--processes",
        type=int,
        nargs="*",
        default=[2],
        help="numbers of processes of ours that train together",
    )
    options = parse(
        parser,
        rounds=1,
        steps=2,
        window=1,
        batch_size=2,
        episodes=1,
        threads=1,
        workers=[0],
        stream_workers=[1],
        processes=[],
    )
    sides = {f"lerobot_workers_{workers}": partial(lerobots, workers=workers) for workers in options.workers}
    streamed = {f"ours_stream_workers_{n}": partial(ours, stream_workers=n) for n in options.stream_workers}
    several = {f"ours_processes_{n}": partial(ours, processes=n) for n in options.processes}
    sides = {"ours": ours} | streamed | several | sides
    speed: dict[str, list[float]] = {name: [] for name in sides}
    memory: dict[str, list[float]] = {name: [] for name in speed}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_data(work / "data", options.episodes)
        make_checkpoint(work / "checkpoint", work / "data")
        for number in range(options.rounds):
            for name, side in sides.items():
                samples, most = side(work, options, number)
                speed[name] += samples
                memory[name].append(most)
    median = {name: statistics.median(values) for name, values in speed.items()}
    peak = {name: max(values) for name, values in memory.items()}
    theirs = [name for name in median if name.startswith("lerobot")]
    best = max(theirs, key=lambda name: median[name])
    figures = {
        **{f"{name}_samples_per_second": value for name, value in median.items()},
        **{f"{name}_peak_memory_mb": value for name, value in peak.items()},
        "lerobots_best": best,
        "samples_per_second_ratio": median["ours"] / median[best],
        # below 1: less memory than LeRobot with its best setting
        "peak_memory_ratio": peak["ours"] / min(peak[name] for name in theirs),
        **{
            # training from video as LeRobot does, against its best setting
            f"{name}_samples_per_second_ratio": median[name] / median[best]
            for name in streamed
        },
        # above 1: several processes are faster than one with all threads
        **{f"{name}_scaling_ratio": median[name] / median["ours"] for name in several},
        "batch_size": options.batch_size,
        "windows": {name: len(values) for name, values in speed.items()},
        "threads": options.threads,
    }
    write_figures(options.output, figures)
    for name, value in figures.items():
        print(f"{name:38} {value:.3f}" if isinstance(value, float) else f"{name:38} {value}")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()

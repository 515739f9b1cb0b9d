#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares settings of the policy node: success, time and jerk, in lock-step simulation.

The node's own planning drives the simulated robot with a simulated latency, so a seed determines the outcome.
Each cell (one setting) is a file of episodes in --output: an interrupted study continues, and more --episodes
extend it. --flow-matching adds cells for a second checkpoint, --delay-trained those for one that was trained
with trained_delay, --small-grippers those for one that was trained with a gripper_scale.

    python bench/study_defaults.py --episodes 10
"""

import argparse
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from command_line import make_parser, parse, write_figures
from rich.console import Console
from rich.progress import track

from dit_policy_ros.core.policy_interface import Policy
from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.evaluation.episodes import NodeActor, image_size, node_settings, rms_jerk
from dit_policy_ros.evaluation.report import wilson_interval
from dit_policy_ros.evaluation.session import config_path
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.inference import weights_sha256
from dit_policy_ros.sim.robot import BimanualSim
from dit_policy_ros.sim.tasks import Lift, Task, Touch, run_trial, suite

FIRST_SEED = 20_000  # unlike those of `dit_policy evaluate` and of training
LATENCIES = (0.0, 0.1, 0.3)  # [s]
MODES = ("act", "newest", "none")
DIFFUSION_STEPS, FLOW_STEPS = (5, 10, 20), (5, 10)
WARM_STEPS, OF_STEPS = (2, 5), 10
OF = {"sampling_steps": OF_STEPS}
LATE = LATENCIES[1:]
PLAIN, FLOW, DELAYED, SMALL = "checkpoint", "flow_matching", "delay_trained", "small_grippers"
LATENCY_OF_STEPS = 0.1  # [s] for comparing numbers of steps


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting: name, options of ``load_policy``, latency [s], node parameters.

    checkpoint: whose; PLAIN is the one of --checkpoint.
    """

    name: str
    checkpoint: str = PLAIN
    policy: Mapping[str, Any] = field(default_factory=dict)
    latency: float = LATENCY_OF_STEPS
    parameters: Mapping[str, Any] = field(default_factory=dict)


def cells(given: Collection[str]) -> Iterator[Cell]:
    """All settings to compare with the checkpoints that are given."""
    for latency in LATE:
        late = f"{1000 * latency:.0f} ms"
        for steps in WARM_STEPS:
            options = {**OF, "warm_start": steps}
            name = f"warm start, {steps} of {OF_STEPS} steps, {late}"
            yield Cell(name, policy=options, latency=latency)
            if SMALL in given:
                yield Cell(f"small grippers, {name}", SMALL, policy=options, latency=latency)
        for is_on in (False, True):
            options = {**OF, "real_time_chunking": is_on}
            name = "guided" if is_on else "independent"
            yield Cell(f"{name} chunks, {late}", policy=options, latency=latency)
            if DELAYED in given:
                kind = "continued" if is_on else "independent"
                name = f"delay-trained, {kind} chunks, {late}"
                yield Cell(name, DELAYED, policy=options, latency=latency)
    for mode in MODES:
        for latency in LATENCIES:
            name = f"{mode}, {1000 * latency:.0f} ms"
            yield Cell(name, latency=latency, parameters={"ensemble.mode": mode})
    for steps in DIFFUSION_STEPS:
        yield Cell(f"diffusion, {steps} steps", policy={"sampling_steps": steps})
    for mode in MODES[:2]:
        options = {**OF, "real_time_chunking": True}
        yield Cell(f"real-time chunking, {mode}", policy=options, parameters={"ensemble.mode": mode})
    for steps in FLOW_STEPS if FLOW in given else ():
        yield Cell(f"flow matching, {steps} steps", FLOW, policy={"sampling_steps": steps})


def run_cell(
    cell: Cell, policy: Policy, weights: str, tasks: Sequence[Task], episodes: int, path: Path
) -> list[dict]:
    """The cell's outcomes with these weights (SHA-256). Runs the episodes that are not in its file yet."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    if others := {str(row.get("weights_sha256")) for row in rows} - {weights}:
        raise SystemExit(
            f"{path}: expected episodes with weights of SHA-256 {weights}, got {', '.join(others)}. "
            f"Choose another --output"
        )
    done = {(row["instruction"], row["seed"]) for row in rows}
    wanted = [(task, FIRST_SEED + number) for number in range(episodes) for task in tasks]
    missing = [(task, seed) for task, seed in wanted if (task.instruction, seed) not in done]
    settings = node_settings(config_path(), cell.parameters)
    height, width = image_size(policy)
    with BimanualSim(FIRST_SEED, width=width, height=height) as sim, path.open("a") as file:
        for task, seed in track(missing, cell.name):
            sim.reset(seed=seed, arm_jitter=0.05)
            actor = NodeActor(policy, task.instruction, settings, cell.latency, seed)
            outcome = run_trial(sim, task, actor, others=suite(), fps=settings.contract.fps)
            row = {
                "instruction": task.instruction,
                "seed": seed,
                "weights_sha256": weights,
                "success": outcome.success,
                "seconds": outcome.seconds,
                "wrong": bool(outcome.instead),
                "jerk": rms_jerk(actor.velocities),
                "holds": actor.pipeline.holds,
                "disagreements": actor.pipeline.disagreements,
            }
            file.write(json.dumps(row) + "\n")
            file.flush()
            rows.append(row)
    kept = {(task.instruction, seed) for task, seed in wanted}
    return [row for row in rows if (row["instruction"], row["seed"]) in kept]


def summary(cell: Cell, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of one setting."""
    successes = sum(row["success"] for row in rows)
    times = [row["seconds"] for row in rows if row["success"]]
    return {
        "setting": cell.name,
        "episodes": len(rows),
        "success_rate": successes / len(rows),
        "ci95": wilson_interval(successes, len(rows)),
        "seconds": float(np.median(times)) if times else None,
        "jerk": float(np.median([row["jerk"] for row in rows if row["jerk"] is not None] or [np.nan])),
        "wrong_rate": float(np.mean([row["wrong"] for row in rows])),
        "holds": sum(row["holds"] for row in rows),
        "disagreements": sum(row["disagreements"] for row in rows),
    }


def markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| setting | episodes | success | 95% interval | time [s] | jerk [rad/s^3] | another task | holds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        seconds = "" if r["seconds"] is None else f"{r['seconds']:.1f}"
        lines.append(
            f"| {r['setting']} | {r['episodes']} | {r['success_rate']:.0%} | {r['ci95'][0]:.0%} to "
            f"{r['ci95'][1]:.0%} | {seconds} | {r['jerk']:.0f} | {r['wrong_rate']:.0%} | {r['holds']} |"
        )
    return "\n".join(lines) + "\n"


def plot(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot success with its interval, and jerk, by setting."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 0.4 * len(results) + 1.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = [r["setting"] for r in results]
    rates = np.array([r["success_rate"] for r in results])  # (cells,)
    bounds = np.array([r["ci95"] for r in results])  # (cells, 2)
    spread = np.clip([rates - bounds[:, 0], bounds[:, 1] - rates], 0.0, None)
    left.errorbar(rates, names, xerr=spread, fmt="o", capsize=3)
    left.set(xlabel="success, 95% interval", xlim=(0.0, 1.0))
    right.barh(names, [r["jerk"] for r in results])
    right.set(xlabel="jerk, root mean square [rad/s^3]")
    left.invert_yaxis()
    figure.savefig(path, dpi=110)


def read_options() -> argparse.Namespace:
    parser = make_parser(__doc__, "out/study")
    parser.add_argument(
        "--checkpoint", type=Path, default=default_checkpoint(), help="default: the shipped one"
    )
    parser.add_argument("--flow-matching", type=Path, help="checkpoint of a flow-matching policy")
    parser.add_argument("--delay-trained", type=Path, help="checkpoint of a policy with trained_delay")
    parser.add_argument("--small-grippers", type=Path, help="checkpoint of a policy with a gripper_scale")
    parser.add_argument(
        "--episodes", type=int, default=5, help="episodes per task and cell; default: %(default)s"
    )
    parser.add_argument("--only", nargs="+", help="names of the cells to run; default: all")
    parser.add_argument(
        "--all-tasks", action="store_true", help="also hand over and push, not only touch and lift"
    )
    parser.add_argument("--task-count", type=int, help="number of tasks to run; default: all")
    return parse(parser, episodes=1, only=["newest, 0 ms"], task_count=1)


def main() -> None:
    options = read_options()
    options.output.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, Any]] = []
    folders = {name: getattr(options, name) for name in (PLAIN, FLOW, DELAYED, SMALL)}
    for cell in cells([name for name, folder in folders.items() if folder is not None]):
        if options.only and cell.name not in options.only:
            continue
        policy = load_policy(folders[cell.checkpoint], "cpu", **cell.policy)
        tasks = [
            task
            for task in suite()
            if (options.all_tasks or isinstance(task, Touch | Lift))
            and task.instruction in policy.known_tasks
        ][: options.task_count]
        path = options.output / f"{cell.name.replace(', ', '_').replace(' ', '_')}.jsonl"
        weights = weights_sha256(policy.checkpoint.folder)  # type: ignore[attr-defined]  # of our own kind
        rows = run_cell(cell, policy, weights, tasks, options.episodes, path)
        results.append(summary(cell, rows))
    write_figures(options.output / "summary.json", results)
    (options.output / "table.md").write_text(markdown(results))
    plot(results, options.output / "defaults.png")
    Console().print((options.output / "table.md").read_text(), markup=False)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What few demonstrations teach, and what helps: one training per cell, evaluated in lock-step.

Cells: 25, 50, 100 and 200 demonstrations of each task; encoders that are pretrained or from scratch; a
pretext on the demonstrations' frames; colour changes and a trained encoder; three conditionings; three
training seeds; combinations of colour and arm that are never demonstrated. Each is told literally, in
wordings of the training's grammar, and in words that no training has seen; one also with guidance 1.5 and 3.
The policy gets what the node would give it: the known instruction that is meant. What the node refuses is an
episode without success.

Demonstrations are recorded through the nodes, or with --lock-step without them. Everything is kept in
--output: datasets, runs, and a file of episodes for each evaluation. An interrupted study goes on where it
stopped.

    python bench/study_demonstrations.py --list
    python bench/study_demonstrations.py --only "100 per task" --episodes 10
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from command_line import make_parser, parse, write_figures
from rich.console import Console
from rich.progress import track

from dit_policy_ros.core.policy_interface import Policy, judge_task
from dit_policy_ros.core.share import share_directory
from dit_policy_ros.evaluation.episodes import NodeActor, image_size, node_settings
from dit_policy_ros.evaluation.report import wilson_interval
from dit_policy_ros.evaluation.session import config_path
from dit_policy_ros.policy import load_policy
from dit_policy_ros.policy.inference import weights_sha256
from dit_policy_ros.ros.inference_link import UnfamiliarTaskError, judge_instruction
from dit_policy_ros.sim.robot import BimanualSim
from dit_policy_ros.sim.tasks import HandOver, Lift, Push, Task, Touch, run_trial, suite
from dit_policy_ros.training.wordings import Template, read_wordings

PARTS = (25, 25, 50, 100)  # demonstrations of each task in each dataset; the first ones make 25, 50, 100, 200
COUNTS = (25, 50, 100, 200)
FIRST_SEED = 30_000  # of evaluation, unlike those of training and of other studies
LATENCY = 0.1  # [s]
SEEN = share_directory() / "config" / "wordings" / "cube_tasks.yaml"
UNSEEN = share_directory() / "config" / "wordings" / "cube_tasks_unseen.yaml"
WORDS = ("literal", "paraphrased", "unseen words")
FAMILIES: Mapping[str, type[Task]] = {"touch": Touch, "lift": Lift, "hand over": HandOver, "push": Push}
HELD_OUT = (Touch("left", "red"), Lift("right", "blue"), HandOver("green"), Push("red", "right"))
"""One combination of each family that a cell does not learn, but is told to do."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One training: its name, demonstrations of each task, and options of the recipe."""

    name: str
    demonstrations: int
    options: tuple[str, ...] = ()
    holds_out: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a trained cell is asked: guidance, and in which words."""

    guidance: float = 1.0
    words: str = "literal"

    @property
    def name(self) -> str:
        """For files and tables."""
        return f"{self.words}, guidance {self.guidance:g}"


def cells() -> Iterator[Cell]:
    """All trainings."""
    for count in COUNTS:
        yield Cell(f"{count} per task", count)
    for seed in (1, 2):
        yield Cell(f"100 per task, seed {seed}", 100, ("--seed", str(seed)))
    yield Cell("100, from scratch", 100, ("--network", "small"))
    for pretext in ("joints", "coming"):
        yield Cell(f"100, pretext {pretext}", 100, ("--pretext", pretext))
        options = ("--network", "small", "--pretext", pretext)
        yield Cell(f"100, from scratch, pretext {pretext}", 100, options)
    yield Cell("100, encoder trained", 100, ("--vision-lr-multiplier", "0.1"))
    options = ("--vision-lr-multiplier", "0.1", "--augmentation", "0.5")
    yield Cell("100, encoder trained, colours changed", 100, options)
    for conditioning in ("cross_attention", "joint"):
        yield Cell(f"100, {conditioning}", 100, ("--conditioning", conditioning))
    yield Cell("100, flow matching", 100, ("--objective", "flow_matching"))
    yield Cell("100, trained delay", 100, ("--trained-delay", "9"))
    yield Cell("100, combinations held out", 100, holds_out=True)


def evaluations(cell: Cell) -> Iterator[Evaluation]:
    """How a cell is evaluated; each training also in other words, the plain one also with guidance."""
    for words in WORDS:
        yield Evaluation(words=words)
    if cell.name == "100 per task":
        for guidance in (1.5, 3.0):
            yield Evaluation(guidance)


def record(output: Path, part: int, tasks: Sequence[Task], lock_step: bool) -> Path:
    """One dataset, recorded by ``dit_policy dataset``; its folder."""
    place, mark = output / f"dataset_{part}", output / f"dataset_{part}.whole"
    if not mark.is_file():
        command = ["dataset", "--output", str(place), "--demonstrations", str(PARTS[part])]
        command += ["--seed", str(1_000_000 * (part + 1))]
        command += [argument for task in tasks for argument in ("--task", task.instruction)]
        _run([*command, *(["--lock-step"] if lock_step else [])])
        mark.touch()
    return place


def train(cell: Cell, options: argparse.Namespace, tasks: Sequence[Task]) -> Path:
    """The cell's checkpoint: trains it, or goes on with it."""
    folder = options.output / cell.name.replace(", ", "_").replace(" ", "_")
    mark = folder / "whole"
    if mark.is_file():
        return folder / "run"
    needed = [part for part in range(len(PARTS)) if sum(PARTS[:part]) < cell.demonstrations]
    datasets = options.datasets or [
        str(record(options.output, part, tasks, options.lock_step)) for part in needed
    ]
    command = ["train", "--recipe", "demonstrations", "--dataset", *datasets]
    learned = [task for task in tasks if not (cell.holds_out and task in HELD_OUT)]
    command += ["--output", str(folder / "run"), "--work", str(folder / "start")]
    if not options.literal:
        command += ["--paraphrases", str(paraphrases(options.output, learned))]
    command += ["--steps", str(options.steps), "--threads", str(options.threads), *cell.options]
    command += ["--example-stride", str(options.example_stride)]
    command += ["--policy", *options.policy] if options.policy else []
    command += ["--frame-store", str(options.output / "features")]
    if cell.holds_out:
        command += [argument for task in learned for argument in ("--task", task.instruction)]
    _run(command)
    mark.touch()
    return folder / "run"


def paraphrases(output: Path, tasks: Sequence[Task]) -> Path:
    """The wordings of these tasks alone: a file with templates for others would be refused."""
    content = yaml.safe_load(SEEN.read_text())
    content["templates"] = [
        each
        for each in content["templates"]
        if any(Template(each["match"], ()).words(task.instruction) is not None for task in tasks)
    ]
    place = output / "wordings.yaml"
    place.write_text(yaml.safe_dump(content))
    return place


def _run(arguments: Sequence[str]) -> None:
    code = subprocess.run(
        [sys.executable, "-m", "dit_policy_ros.cli.main", *arguments], check=False
    ).returncode
    if code:
        raise SystemExit(f"dit_policy {' '.join(arguments)} ended with {code}; call the study again to go on")


def said(task: Task, words: str, number: int) -> str:
    """How a task is told in the episode of a number; the instruction itself only if ``literal``."""
    if words == "literal":
        return task.instruction
    known = read_wordings(SEEN if words == "paraphrased" else UNSEEN).of(task.instruction)[1:]
    return known[int(np.random.default_rng([FIRST_SEED, number]).integers(len(known)))]


def given(policy: Policy, wording: str) -> str | None:
    """What the policy node gives to the policy for a wording; None if it refuses."""
    ask = partial(judge_task, policy)
    try:
        return judge_instruction(wording, policy.known_tasks, "refuse", ask).task
    except UnfamiliarTaskError:
        return None


def evaluate(folder: Path, how: Evaluation, tasks: Sequence[Task], episodes: int) -> list[dict[str, Any]]:
    """The outcomes; runs the episodes that are not in the file yet."""
    place = folder.parent / f"{how.name.replace(', ', '_').replace(' ', '_')}.jsonl"
    rows = [json.loads(line) for line in place.read_text().splitlines()] if place.is_file() else []
    policy = load_policy(folder, "cpu", guidance_scale=how.guidance)
    weights = weights_sha256(policy.checkpoint.folder)  # type: ignore[attr-defined]  # of our own kind
    if others := {row["weights_sha256"] for row in rows} - {weights}:
        raise SystemExit(f"{place}: expected weights of SHA-256 {weights}, got {', '.join(others)}")
    done = {(row["task"], row["seed"]) for row in rows}
    wanted = [(task, FIRST_SEED + number) for number in range(episodes) for task in tasks]
    missing = [(task, seed) for task, seed in wanted if (task.instruction, seed) not in done]
    settings = node_settings(config_path(), {})
    height, width = image_size(policy)
    with BimanualSim(FIRST_SEED, width=width, height=height) as sim, place.open("a") as file:
        for task, seed in track(missing, f"{folder.parent.name}: {how.name}"):
            sim.reset(seed=seed, arm_jitter=0.05)
            wording = said(task, how.words, seed)
            row = {"task": task.instruction, "said": wording, "seed": seed, "weights_sha256": weights}
            row |= {"given": given(policy, wording), "success": False, "wrong": False}
            if row["given"] is not None:
                actor = NodeActor(policy, row["given"], settings, LATENCY, seed)
                outcome = run_trial(sim, task, actor, others=suite(), fps=settings.contract.fps)
                row |= {"success": outcome.success, "wrong": bool(outcome.instead)}
            rows.append(row)
            file.write(json.dumps(rows[-1]) + "\n")
            file.flush()
    return rows


def summary(cell: Cell, how: Evaluation, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Success by family of tasks, with Wilson's interval; of a cell that holds out, the held-out ones too."""
    families: dict[str, list[Mapping[str, Any]]] = {"all": list(rows)}
    for row in rows:
        families.setdefault(row["task"].split()[0], []).append(row)
    if cell.holds_out:
        held_out = {task.instruction for task in HELD_OUT}
        families["held out"] = [row for row in rows if row["task"] in held_out]
    return [
        {
            "cell": cell.name,
            "told": how.name,
            "tasks": name,
            "episodes": len(some),
            "success_rate": float(np.mean([row["success"] for row in some])),
            "ci95": wilson_interval(sum(row["success"] for row in some), len(some)),
            "wrong_rate": float(np.mean([row["wrong"] for row in some])),
            "refused_rate": float(np.mean([row["given"] is None for row in some])),
        }
        for name, some in families.items()
        if some
    ]


def markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| cell | told | tasks | episodes | success | 95% interval | another task | refused |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        low, high = r["ci95"]
        lines.append(
            f"| {r['cell']} | {r['told']} | {r['tasks']} | {r['episodes']} | {r['success_rate']:.0%} | "
            f"{low:.0%} to {high:.0%} | {r['wrong_rate']:.0%} | {r['refused_rate']:.0%} |"
        )
    return "\n".join(lines) + "\n"


def read_options() -> argparse.Namespace:
    parser = make_parser(__doc__, "out/study_demonstrations")
    parser.add_argument("--only", nargs="+", help="names of the cells to run; default: all")
    parser.add_argument("--list", action="store_true", help="print the cells and end")
    parser.add_argument("--episodes", type=int, default=10, help="of each task; default: %(default)s")
    parser.add_argument(
        "--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES),
        help="kinds of tasks that are recorded, learned and evaluated; default: all",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, default=20_000, help="of each training; default: %(default)s")
    parser.add_argument(
        "--policy", nargs="+", default=[], metavar="NAME=VALUE", help="options of all networks, as of train"
    )
    parser.add_argument(
        "--example-stride", type=int, default=1, help="frames from example to example; default: %(default)s"
    )
    parser.add_argument(
        "--datasets", nargs="+", metavar="FOLDER", help="learn from these instead of recording"
    )
    parser.add_argument(
        "--literal", action="store_true", help="train with the instructions alone, no wordings"
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="CPU threads of training; default: %(default)s"
    )
    parser.add_argument(
        "--lock-step", action="store_true", help="record without the nodes: the same robot, in less time"
    )
    return parse(parser, list=True)


def main() -> None:
    options = read_options()
    chosen = [cell for cell in cells() if not options.only or cell.name in options.only]
    if options.list:
        names = [{"cell": cell.name, "evaluations": len(list(evaluations(cell)))} for cell in chosen]
        write_figures(options.output / "cells.json", names)
        Console().print(names)
        return
    results: list[dict[str, Any]] = []
    tasks = [task for task in suite() if isinstance(task, tuple(FAMILIES[name] for name in options.families))]
    for cell in chosen:
        folder = train(cell, options, tasks)
        for how in evaluations(cell):
            results += summary(cell, how, evaluate(folder, how, tasks, options.episodes))
            write_figures(options.output / "summary.json", results)
            (options.output / "table.md").write_text(markdown(results))
    Console().print(markdown(results), markup=False)


if __name__ == "__main__":
    main()

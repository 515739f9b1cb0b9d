# SPDX-License-Identifier: Apache-2.0
"""`dit_policy diagnose`: does a policy stand still, ignore its instruction, or do another task?

Asks the policy what it would do at frames of a dataset, under the instruction that was demonstrated there and
under every other one that it knows, and compares with what was demonstrated. No robot and no simulator are
needed. Judge with frames that the policy was not trained on if you have them; those that it was trained on
flatter it, but a collapsed or language-blind policy shows on them too.
"""

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.training.diagnostics import ADVICE, TaskDiagnosis, Thresholds

EXPLANATION = """\
how to read the tables
  variance    spread of the predicted actions over the observations of a task, relative to the demonstrated
              ones. Near 1 is right; below {variance_ratio:g} the outputs have collapsed to nearly one
              chunk.
  way         how far the predicted chunks go, relative to the demonstrated ones. Near 1 is right.
  idle        share of the moments where the demonstrator moves and the policy goes less than {still:.0%} of
              that way. Above {idle:.0%} it idles.
  error       distance to the demonstrated actions; 1 is the standard deviation of the dataset's actions.
  misled      share of the moments at which the prediction under another instruction is nearer to the
              demonstrated actions (by over {margin:.0%}). Guessing among K instructions gives (K - 1) / K;
              above {misled:.0%} of that the policy does the wrong task.
  language    how much the instruction changes the prediction, relative to how differently the tasks go on
              from similar states in the dataset. Near 1 is right; below {language:g} the policy is
              language-blind.
  demos       demonstrations of the task in this dataset; if the policy was trained on it: under {few}
              collapse is likely, over {enough} rare.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dit_policy diagnose",
        description=__doc__,
        epilog=EXPLANATION.format(**dataclasses.asdict(Thresholds())).replace("%", "%%")
        + "\nexample:\n  dit_policy diagnose out/pick/checkpoints/last/pretrained_model ~/datasets/pick\n\n"
        "Exit code: 0 when no task fails, 1 when one does, 2 when something could not be read.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", help="folder or hub id of the policy")
    parser.add_argument("dataset", help="folder of a LeRobotDataset v3")
    parser.add_argument("--output", type=Path, default=Path("out/diagnose"), help="default: %(default)s")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<n>; default: %(default)s")
    parser.add_argument(
        "--observations", type=int, default=32, metavar="N", help="moments per task; default: %(default)s"
    )
    parser.add_argument("--steps", type=int, help="sampling steps; default: the checkpoint's")
    parser.add_argument("--seed", type=int, default=0, help="of the sampling; default: %(default)s")
    options = parser.parse_args(arguments)
    if options.observations < 2:
        parser.error(f"--observations: expected at least 2, got {options.observations}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Diagnose; returns the exit code."""
    options = parse(arguments)
    console = Console()
    try:
        return run(options, console)
    except DitPolicyError as error:
        print(f"dit_policy diagnose: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def run(options: argparse.Namespace, console: Console) -> int:
    # Torch and lerobot take seconds; a wrong command line should not.
    from dit_policy_ros.policy import load_policy
    from dit_policy_ros.training.diagnostics import diagnose, gather, open_samples, write_plot

    overrides = {} if options.steps is None else {"sampling_steps": options.steps}
    policy = load_policy(options.checkpoint, options.device, **overrides)
    reader = open_samples(options.dataset, policy)
    console.print(f"{policy.description}, on {policy.device}")
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("predicting", total=None)
        evidence = gather(
            policy,
            reader,
            options.observations,
            options.seed,
            lambda done, total: progress.update(bar, completed=done, total=total),
        )
    limits = Thresholds()
    tasks = diagnose(evidence, limits)
    for table in (motion_table(tasks), language_table(tasks, len(evidence.tasks))):
        console.print(table)
    console.print(
        EXPLANATION.format(**dataclasses.asdict(limits)), style="dim", highlight=False, soft_wrap=True
    )
    print_verdicts(tasks, console)
    options.output.mkdir(parents=True, exist_ok=True)
    plot, figures = options.output / "diagnosis.png", options.output / "diagnosis.json"
    title = f"{options.checkpoint} on {options.dataset}"
    write_plot(plot, tasks, evidence.tasks, limits, title)
    figures.write_text(json.dumps(summary(options, tasks, limits), indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {figures} and {plot}")
    return int(any(task.is_failing for task in tasks))


def motion_table(tasks: Sequence[TaskDiagnosis]) -> Table:
    table = Table("task", title="output collapse and idling")
    for name in ("demos", "moments", "variance", "way", "idle", "error"):
        table.add_column(name, justify="right")
    for task in tasks:
        table.add_row(
            task.task,
            str(task.demonstrations),
            str(task.observations),
            number(task.variance_ratio),
            number(task.motion_ratio),
            share(task.idle_fraction),
            number(task.error),
        )
    return table


def language_table(tasks: Sequence[TaskDiagnosis], instructions: int) -> Table:
    table = Table("task", title=f"wrong task, among {instructions} instructions")
    for name in ("misled", "language"):
        table.add_column(name, justify="right")
    table.add_column("mistaken most often for")
    for task in tasks:
        table.add_row(
            task.task, share(task.misled_fraction), number(task.language_ratio), task.mistaken_for or "-"
        )
    return table


def print_verdicts(tasks: Sequence[TaskDiagnosis], console: Console) -> None:
    for task in tasks:
        verdict, style = ("FAILS", "bold red") if task.is_failing else ("passes", "green")
        if task.findings and not task.is_failing:
            verdict, style = "at risk", "yellow"
        findings = f": {', '.join(task.findings)}" if task.findings else ""
        console.print(f"[{style}]{verdict:8}[/] {task.task}{findings}", highlight=False, soft_wrap=True)
    for finding in dict.fromkeys(finding for task in tasks for finding in task.findings):
        console.print(f"  {finding}: {ADVICE[finding]}.", highlight=False, soft_wrap=True)


def summary(
    options: argparse.Namespace, tasks: Sequence[TaskDiagnosis], limits: Thresholds
) -> dict[str, object]:
    """What goes into the JSON file; a figure that does not exist is null."""
    return {
        "checkpoint": str(options.checkpoint),
        "dataset": str(options.dataset),
        "passes": not any(task.is_failing for task in tasks),
        "thresholds": dataclasses.asdict(limits),
        "tasks": [
            {
                name: None if isinstance(value, float) and math.isnan(value) else value
                for name, value in dataclasses.asdict(task).items()
            }
            | {"passes": not task.is_failing}
            for task in tasks
        ],
    }


def number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"


if __name__ == "__main__":
    sys.exit(main())

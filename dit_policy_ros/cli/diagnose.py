# SPDX-License-Identifier: Apache-2.0
"""`dit_policy diagnose`: does a policy stand still, ignore its instruction, or do another task?

Lets the policy predict at frames of a dataset, under the demonstrated instruction and under every other one
that it knows, and compares the predictions with the demonstration. Needs no robot and no simulator. Prefer a
dataset that the policy was not trained on. On its training data a policy looks better than it is, but
collapse and language blindness show there, too.
"""

import argparse
import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from dit_policy_ros.cli.common import add_device_option
from dit_policy_ros.cli.renamed_options import refuse_positionals, refuse_renamed_options
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.policy import load_policy
from dit_policy_ros.training.diagnostics import (
    ADVICE,
    DiagnosisReport,
    TaskDiagnosis,
    Thresholds,
    diagnose_policy,
    open_samples,
)

EXPLANATION = """\
how to read the tables
  variance    spread of the predicted actions over the observations of a task, relative to the demonstrated
              ones. Near 1 is right; below {variance_ratio:g} the outputs have collapsed to nearly one
              chunk.
  motion      how far the predicted chunks move, relative to the demonstrated ones. Near 1 is right.
  idle        share of the observations where the demonstrator moves and the policy moves less than
              {still:.0%} as far. Above {idle:.0%} it idles.
  error       distance to the demonstrated actions; 1 is the standard deviation of the dataset's actions.
  misled      share of the observations where the prediction under another instruction is nearer to the
              demonstrated actions (by over {margin:.0%}). Guessing among K instructions gives (K - 1) / K;
              above {misled:.0%} of that the policy does the wrong task.
  language    how much the instruction changes the prediction, relative to how differently the tasks continue
              from similar states in the dataset. Near 1 is right; below {language:g} the policy is
              language-blind.
  demos       demonstrations of the task in this dataset. If the policy was trained on it, collapse is likely
              under {few} and rare over {enough}.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dit_policy diagnose",
        description=__doc__,
        epilog=EXPLANATION.format(**dataclasses.asdict(Thresholds())).replace("%", "%%")
        + "\nexample:\n  dit_policy diagnose --checkpoint out/pick/checkpoints/last/pretrained_model \\\n"
        "      --dataset ~/datasets/pick\n\n"
        "Exit code: 0 if no task fails, 1 if one does, 2 if something could not be read.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--checkpoint", required=True, help="folder or hub id of the policy")
    parser.add_argument("--dataset", required=True, help="folder of a LeRobotDataset v3")
    parser.add_argument("--output", type=Path, default=Path("out/diagnose"), help="default: %(default)s")
    add_device_option(parser)
    parser.add_argument(
        "--observations", type=int, default=32, metavar="N", help="per task; default: %(default)s"
    )
    parser.add_argument("--num-inference-steps", type=int, help="sampling steps; default: the checkpoint's")
    parser.add_argument("--seed", type=int, default=0, help="of the sampling; default: %(default)s")
    refuse_renamed_options(parser, {"--steps": "--num-inference-steps"})
    refuse_positionals(parser, ("--checkpoint", "--dataset"))
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
    steps = options.num_inference_steps
    overrides = {} if steps is None else {"sampling_steps": steps}
    policy = load_policy(options.checkpoint, options.device, **overrides)
    reader = open_samples(options.dataset, policy)
    console.print(f"{policy.description}, on {policy.device}")
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("predicting", total=None)
        report = diagnose_policy(
            policy,
            reader,
            options.observations,
            options.seed,
            lambda done, total: progress.update(bar, completed=done, total=total),
        )
    print_report(report, console)
    figures, plot = report.write(options.output, options.checkpoint, options.dataset)
    console.print(f"written to {figures} and {plot}")
    return int(not report.passes)


def print_report(report: DiagnosisReport, console: Console) -> None:
    console.print(motion_table(report.tasks))
    console.print(language_table(report.tasks, len(report.instructions)))
    explanation = EXPLANATION.format(**dataclasses.asdict(report.thresholds))
    console.print(explanation, style="dim", highlight=False, soft_wrap=True)
    for task in report.tasks:
        result, style = ("FAILS", "bold red") if task.is_failing else ("passes", "green")
        if task.findings and not task.is_failing:
            result, style = "at risk", "yellow"
        findings = f": {', '.join(task.findings)}" if task.findings else ""
        console.print(f"[{style}]{result:8}[/] {task.task}{findings}", highlight=False, soft_wrap=True)
    for finding in dict.fromkeys(finding for task in report.tasks for finding in task.findings):
        console.print(f"  {finding}: {ADVICE[finding]}.", highlight=False, soft_wrap=True)


def motion_table(tasks: Sequence[TaskDiagnosis]) -> Table:
    table = Table("task", title="output collapse and idling")
    for name in ("demos", "observations", "variance", "motion", "idle", "error"):
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


def number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"


if __name__ == "__main__":
    sys.exit(main())

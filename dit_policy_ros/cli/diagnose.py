# SPDX-License-Identifier: Apache-2.0
"""`dit_policy diagnose`: does a policy stand still, ignore its instruction, or do another task?

Lets the policy predict at frames of a dataset, under the demonstrated instruction and under every other one
that it knows, and compares the predictions with the demonstration. Needs no robot and no simulator. Prefer a
dataset that the policy was not trained on. On its training data a policy looks better than it is, but
collapse and language blindness show there, too.
"""

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dit_policy_ros.cli.common import (
    CommandParser,
    add_device_option,
    add_json_option,
    message_console,
    print_json,
    progress_bar,
    refuse_positionals,
    refuse_renamed_options,
    whole_number,
)
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.data.description import find_dataset
from dit_policy_ros.training.diagnostics import (
    ADVICE,
    RESTING,
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
              chunk, above {scattered:g} they are scattered.
  motion      how far the predicted chunks move, relative to the demonstrated ones. Near 1 is right.
  idle        share of the observations where the demonstrator moves and the policy moves less than
              {still:.0%} as far. Above {idle:.0%} it idles.
  error       distance to the demonstrated actions; 1 is the standard deviation of the dataset's actions.
              Joints that hardly move count as if they moved by {resting:.0%} of the others.
  mostly      the action entry that makes up most of the error, and its share of the squared error.
  misled      share of the observations where the prediction under another instruction is nearer to the
              demonstrated actions (by over {margin:.0%}), and the right one's is off by over {off:.0%} of
              what separates the tasks. Guessing among K instructions gives (K - 1) / K; above
              {misled:.0%} of that the policy does the wrong task.
  language    how much the instruction changes the prediction, relative to how differently the tasks continue
              from similar states in the dataset. Near 1 is right; below {language:g} the policy is
              language-blind.
  demos       demonstrations of the task in this dataset, without episodes that failed. If the policy was
              trained on it, collapse is likely under {few} and rare over {enough}.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser(
        "diagnose",
        __doc__,
        explanation(Thresholds())
        + "\nexample:\n  dit_policy diagnose --checkpoint out/pick/checkpoints/last/pretrained_model \\\n"
        "      --dataset ~/datasets/pick\n\n"
        "Exit code: 0 if no task fails, 1 if one does or something could not be read, 2 for wrong options.",
    )
    parser.add_argument("--checkpoint", required=True, help="folder or hub id of the policy")
    parser.add_argument("--dataset", required=True, help="folder of a LeRobotDataset v3, or its hub id")
    parser.add_argument("--output", type=Path, default=Path("out/diagnose"), help="default: %(default)s")
    add_device_option(parser)
    parser.add_argument(
        "--observations", type=whole_number(2), default=32, metavar="N", help="per task; default: %(default)s"
    )
    parser.add_argument(
        "--num-inference-steps", type=whole_number(1), help="sampling steps; default: the checkpoint's"
    )
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, help="of the sampling; default: %(default)s"
    )
    add_json_option(parser)
    refuse_renamed_options(parser, {"--steps": "--num-inference-steps"})
    refuse_positionals(parser, ("--checkpoint", "--dataset"))
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Diagnose; returns the exit code."""
    options = parse(arguments)
    console = message_console(options)
    try:
        return run(options, console)
    except DitPolicyError as error:
        print(f"dit_policy diagnose: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run(options: argparse.Namespace, console: Console) -> int:
    from dit_policy_ros.policy import load_policy  # torch takes seconds; --help needs none

    steps = options.num_inference_steps
    overrides = {} if steps is None else {"sampling_steps": steps}
    policy = load_policy(options.checkpoint, options.device, **overrides)
    reader = open_samples(find_dataset(options.dataset), policy)
    console.print(f"{policy.description}, on {policy.device}")
    with progress_bar(console, transient=True) as progress:
        bar = progress.add_task("predicting", total=None, note="")
        report = diagnose_policy(
            policy,
            reader,
            options.observations,
            options.seed,
            lambda done, total: progress.update(bar, completed=done, total=total),
        )
    if not options.json:
        print_report(report, console)
    figures, plot = report.write(options.output, options.checkpoint, options.dataset)
    console.print(f"written to {figures} and {plot}")
    if options.json:
        print_json(json.loads(figures.read_text(encoding="utf-8")))
    return int(not report.passes)


def print_report(report: DiagnosisReport, console: Console) -> None:
    console.print(motion_table(report.tasks))
    console.print(language_table(report.tasks, len(report.instructions)))
    console.print(explanation(report.thresholds), style="dim", highlight=False, soft_wrap=True)
    for task in report.tasks:
        result, style = ("FAILS", "bold red") if task.is_failing else ("passes", "green")
        if task.findings and not task.is_failing:
            result, style = "at risk", "yellow"
        findings = f": {', '.join(task.findings)}" if task.findings else ""
        line = Text.assemble((f"{result:8}", style), f" {task.task}{findings}")  # brackets are not markup
        console.print(line, highlight=False, soft_wrap=True)
    for finding in dict.fromkeys(finding for task in report.tasks for finding in task.findings):
        console.print(f"  {finding}: {ADVICE[finding]}.", highlight=False, soft_wrap=True)


def explanation(thresholds: Thresholds) -> str:
    return EXPLANATION.format(**dataclasses.asdict(thresholds), resting=RESTING)


def motion_table(tasks: Sequence[TaskDiagnosis]) -> Table:
    table = Table("task", title="output collapse and idling")
    for name in ("demos", "observations", "variance", "motion", "idle", "error"):
        table.add_column(name, justify="right")
    table.add_column("mostly")
    for task in tasks:
        table.add_row(
            Text(task.task),
            str(task.demonstrations),
            str(task.observations),
            number(task.variance_ratio),
            number(task.motion_ratio),
            share(task.idle_fraction),
            number(task.error),
            f"{task.worst_entry} ({task.worst_share:.0%})",
        )
    return table


def language_table(tasks: Sequence[TaskDiagnosis], instructions: int) -> Table:
    table = Table("task", title=f"wrong task, among {instructions} instructions")
    for name in ("misled", "language"):
        table.add_column(name, justify="right")
    table.add_column("mistaken most often for")
    for task in tasks:
        table.add_row(
            Text(task.task),
            share(task.misled_fraction),
            number(task.language_ratio),
            Text(task.mistaken_for or "-"),
        )
    return table


def number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"


if __name__ == "__main__":
    sys.exit(main())

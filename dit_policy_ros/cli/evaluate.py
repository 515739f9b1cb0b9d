# SPDX-License-Identifier: Apache-2.0
"""`dit_policy evaluate`: how often does a policy do what it is told, in simulated scenes it has never seen?

The real policy_node drives the real sim_node. Both are processes of their own with ROS between them, so
latency, ensembling, splicing and limits are included. With --lock-step, physics, cameras and policy take
turns instead, without a clock and without ROS: the seed alone decides the outcome. That judges the network
alone. Success is judged on the physics state.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from dit_policy_ros.cli.common import (
    add_checkpoint_option,
    add_device_option,
    add_domain_option,
    add_task_option,
    add_variation_options,
    progress_bar,
    read_variation,
)
from dit_policy_ros.cli.renamed_options import refuse_renamed_options
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.evaluation.episodes import (
    ACTORS,
    FIRST_SEED,
    STEPS_TO_EXECUTE,
    Evaluation,
    EvaluationSettings,
)
from dit_policy_ros.evaluation.report import confusion_lines, results_by_task, results_table, suite_table

EPILOG = """\
examples:
  which tasks there are, and when each counts as done
    dit_policy evaluate --list-tasks
  the shipped policy on all tasks that it knows, 50 episodes each
    dit_policy evaluate --episodes 50
  the network alone, with the same outcome every time
    dit_policy evaluate --episodes 50 --lock-step
  continue an interrupted evaluation, or extend a finished one
    dit_policy evaluate --episodes 100 --resume
  the scripted operator, as the upper end of the scale
    dit_policy evaluate --actor operator --episodes 20

Written to --output: summary.json (by task: success_rate and its Wilson interval ci95, wrong_rate, seconds;
the confusion matrix of instruction and behaviour), table.md, success.png, confusion.png, sheet.jpg, and in
failures/ videos of the first failures of each task. Each episode is written to episodes.jsonl when it ends.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dit_policy evaluate",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    number = {"type": int, "metavar": "N"}
    parser.add_argument("--list-tasks", action="store_true", help="describe the tasks and exit")
    add_checkpoint_option(parser)
    parser.add_argument(
        "--actor", choices=ACTORS, default="policy",
        help="who drives the robot: the policy, or in lock-step the scripted operator or nobody; "
        "default: %(default)s",
    )  # fmt: skip
    add_task_option(parser, default="all that the policy knows")
    parser.add_argument("--episodes", **number, default=10, help="of each task; default: %(default)s")
    parser.add_argument(
        "--seed", **number, default=FIRST_SEED, help="of the first scene; default: %(default)s"
    )
    parser.add_argument(
        "--lock-step", action="store_true", help="physics, cameras and policy take turns; no ROS"
    )
    parser.add_argument(
        "--execute", **number,
        help=f"steps of each chunk to execute in lock-step; default: {STEPS_TO_EXECUTE}",
    )  # fmt: skip
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME:=VALUE",
        help="a parameter of the policy node, as for `ros2 run ... -p`; may be repeated. Not in lock-step, "
        "which has no node",
    )  # fmt: skip
    add_variation_options(parser)
    add_device_option(parser)
    add_domain_option(parser)
    parser.add_argument("--num-inference-steps", **number, help="of the policy; default: the checkpoint's")
    parser.add_argument("--guidance-scale", type=float, help="1 is off, which is the default")
    parser.add_argument(
        "--videos", **number, default=2,
        help="how many failures of each task to keep as videos; 0 films nothing; default: %(default)s",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("out/evaluate"), help="default: %(default)s")
    parser.add_argument(
        "--resume", action="store_true",
        help="keep the episodes in --output, of the same policy and options, and run only the missing ones",
    )  # fmt: skip
    refuse_renamed_options(parser, {"--sampling-steps": "--num-inference-steps N"})
    options = parser.parse_args(arguments)
    for name, smallest in (("episodes", 1), ("execute", 1), ("videos", 0)):
        value = getattr(options, name)
        if value is not None and value < smallest:
            parser.error(f"--{name}: expected at least {smallest}, got {value}")
    if options.execute is not None and not options.lock_step and options.actor == "policy":
        parser.error("--execute: it counts in lock-step only; add --lock-step")
    if options.actor != "policy":
        options.lock_step = True
        for name in ("num_inference_steps", "guidance_scale", "execute"):
            if getattr(options, name) is not None:
                parser.error(
                    f"--{name.replace('_', '-')}: it is for a policy, not for --actor {options.actor}"
                )
    if options.domain is not None and options.lock_step:
        parser.error("--domain: not in lock-step, which runs without ROS")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate; returns the exit code: 0 whatever the success, 1 a mistake that the message names."""
    options = parse(arguments)
    console = Console()
    if options.list_tasks:
        console.print(suite_table())
        return 0
    try:
        run(options, console)
    except DitPolicyError as error:
        print(f"dit_policy evaluate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def run(options: argparse.Namespace, console: Console) -> None:
    """Evaluate and print; raises DitPolicyError."""
    if options.actor != "policy":
        console.print(f"--actor {options.actor} always runs in lock-step, without ROS")
    settings = EvaluationSettings(
        output=options.output,
        actor=options.actor,
        checkpoint=options.checkpoint,
        device=options.device,
        num_inference_steps=options.num_inference_steps,
        guidance_scale=1.0 if options.guidance_scale is None else options.guidance_scale,
        tasks=tuple(options.tasks),
        episodes=options.episodes,
        seed=options.seed,
        lock_step=options.lock_step,
        execute=options.execute or STEPS_TO_EXECUTE,
        parameters=tuple(options.parameter),
        variation=read_variation(options),
        max_videos=options.videos,
        resume=options.resume,
        domain=options.domain,
    )
    with Evaluation(settings) as evaluation:
        with progress_bar(console) as bar:
            line = bar.add_task("episodes", total=evaluation.total, completed=evaluation.resumed, note="")
            for _ in evaluation.run():
                bar.update(line, advance=1, note=f"{evaluation.successes} succeeded")
        path = evaluation.write_report()
        console.print(results_table(results_by_task(evaluation.outcomes)))
        for text in confusion_lines(evaluation.outcomes):
            console.print(text, markup=False, highlight=False)
    console.print(f"Details: {path}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())

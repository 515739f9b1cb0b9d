# SPDX-License-Identifier: Apache-2.0
"""`dit_policy evaluate`: how often does a policy do what it is told, in simulated scenes it has never seen?

The real policy_node drives the real sim_node. Both are processes of their own with ROS between them, so
latency, ensembling, splicing and limits are included. With --lock-step, physics, cameras and policy take
turns instead, without a clock and without ROS: the seed alone decides the outcome. That judges the network
alone. Success is judged on the physics state.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from dit_policy_ros.cli.common import (
    CommandParser,
    add_checkpoint_option,
    add_device_option,
    add_domain_option,
    add_json_option,
    add_task_option,
    add_variation_options,
    add_worker_options,
    message_console,
    print_json,
    progress_bar,
    read_variation,
    read_workers,
    refuse_renamed_options,
    whole_number,
)
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.evaluation.defaults import ACTORS, FIRST_SEED, STEPS_TO_EXECUTE

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
  the same on 8 processes, or on a cluster (docs/scale.md)
    dit_policy evaluate --episodes 1000 --lock-step --workers 8
    dit_policy evaluate --episodes 1000 --lock-step --ray HOST:6379 --resume
  the scripted operator, as the upper end of the scale
    dit_policy evaluate --actor operator --episodes 20

Written to --output: summary.json (by task: success_rate and its Wilson interval ci95, wrong_rate, seconds;
the confusion matrix of instruction and behaviour), table.md, success.png, confusion.png, sheet.jpg, and in
failures/ videos of the first failures of each task. Each episode is written to episodes.jsonl when it ends.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("evaluate", __doc__, EPILOG)

    def number(lowest: int, highest: int = 2**31 - 1) -> dict[str, Any]:
        return {"type": whole_number(lowest, highest), "metavar": "N"}

    parser.add_argument("--list-tasks", action="store_true", help="describe the tasks and exit")
    add_checkpoint_option(parser)
    parser.add_argument(
        "--actor", choices=ACTORS, default="policy",
        help="who drives the robot: the policy, or in lock-step the scripted operator or nobody; "
        "default: %(default)s",
    )  # fmt: skip
    add_task_option(parser, default="all that the policy knows")
    parser.add_argument(
        "--episodes", **number(1, 10**6), default=10, help="of each task; default: %(default)s"
    )
    parser.add_argument(
        "--seed", **number(0), default=FIRST_SEED, help="of the first scene; default: %(default)s"
    )
    parser.add_argument(
        "--lock-step", action="store_true", help="physics, cameras and policy take turns; no ROS"
    )
    parser.add_argument(
        "--execute", **number(1),
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
    add_worker_options(parser, "episodes")
    parser.add_argument(
        "--gpus-per-worker", type=float, default=0.0, metavar="SHARE",
        help="share of a GPU that each takes on the cluster; at 0 its policy runs on the CPU; "
        "default: %(default)s",
    )  # fmt: skip
    parser.add_argument("--num-inference-steps", **number(1), help="of the policy; default: the checkpoint's")
    parser.add_argument("--guidance-scale", type=float, help="1 is off, which is the default")
    parser.add_argument(
        "--videos", **number(0), default=2,
        help="how many failures of each task to keep as videos; 0 films nothing; default: %(default)s",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("out/evaluate"), help="default: %(default)s")
    parser.add_argument(
        "--resume", action="store_true",
        help="keep the episodes in --output, of the same policy and options, and run only the missing ones",
    )  # fmt: skip
    add_json_option(parser)
    refuse_renamed_options(parser, {"--sampling-steps": "--num-inference-steps N"})
    options = parser.parse_args(arguments)
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
    if options.domain is not None and (options.workers > 1 or options.ray):
        parser.error("--domain: not with several workers; each takes a domain of its own")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate; returns the exit code: 0 whatever the success, 1 a mistake that the message names."""
    options = parse(arguments)
    from dit_policy_ros.evaluation.report import suite_facts, suite_table  # MuJoCo; the help does without

    console = message_console(options)
    if options.list_tasks and options.json:
        print_json(suite_facts())
        return 0
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
    from dit_policy_ros.evaluation.episodes import Evaluation, EvaluationSettings  # as above
    from dit_policy_ros.evaluation.report import confusion_lines, results_by_task, results_table

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
        workers=read_workers(options, options.gpus_per_worker),
    )
    if settings.workers.are_many and not settings.runs_in_lock_step:
        console.print(
            "each worker runs the nodes in real time: give it enough cores (about 4), or latencies and "
            "results are those of an overloaded computer",
            style="yellow",
        )
    with Evaluation(settings) as evaluation:
        with progress_bar(console) as bar:
            line = bar.add_task("episodes", total=evaluation.total, completed=evaluation.resumed, note="")
            for _ in evaluation.run():
                bar.update(line, advance=1, note=f"{evaluation.successes} succeeded")
        path = evaluation.write_report()
    if options.json:
        print_json(json.loads(path.read_text()))
    else:
        console.print(results_table(results_by_task(evaluation.outcomes)))
        for text in confusion_lines(evaluation.outcomes):
            console.print(text, markup=False, highlight=False)
    console.print(f"Details: {path}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""`dit_policy demo`: a simulated two-armed robot follows one instruction after another, each in a new scene.

The simulator and the policy node run as processes of their own and are used only through their ROS
interfaces: lifecycle services, /policy/set_task, /policy/status, camera and trajectory topics. It needs no
set-up, and both nodes end with it, however it ends.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from dit_policy_ros.cli.common import (
    add_checkpoint_option,
    add_device_option,
    add_domain_option,
    add_task_option,
)
from dit_policy_ros.core.errors import DitPolicyError, TaskError
from dit_policy_ros.evaluation.demo import (
    DEMO_INSTRUCTIONS,
    DemoDisplay,
    DemoSettings,
    run_demo,
    summary_tables,
    write_summary,
)
from dit_policy_ros.sim.tasks import find_task

EPILOG = """\
Exit code: 0 when the system ran to the end, whether or not the tasks succeeded; 1 when a node died, did not
start or refused its task; 130 after Ctrl-C, 143 after SIGTERM. To look at the topics while it runs, start it
with --domain 42, and set ROS_DOMAIN_ID=42 in the other terminal.
"""


class Terminated(KeyboardInterrupt):
    """SIGTERM ends the demo in the same way as Ctrl-C."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dit_policy demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EPILOG,
    )
    add_checkpoint_option(parser)
    add_device_option(parser)
    add_task_option(parser, default="three of them")
    parser.add_argument(
        "--task-time", type=float, default=12.0, metavar="S",
        help="time limit of each instruction [s]; default: %(default)g",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=0, help="of the scene: where the cubes are; default: %(default)s"
    )
    add_domain_option(parser)
    parser.add_argument("--output", type=Path, default=Path("out/demo"), help="folder; default: %(default)s")
    options = parser.parse_args(arguments)
    options.tasks = options.tasks or list(DEMO_INSTRUCTIONS)
    try:
        for task in options.tasks:
            find_task(task)
    except TaskError as error:
        parser.error(f"--task: {error}")
    if not 0.5 <= options.task_time <= 600.0:
        parser.error(f"--task-time: expected 0.5 to 600 s, got {options.task_time}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns its exit code."""
    options = parse(arguments)
    settings = DemoSettings(
        output=options.output,
        checkpoint=options.checkpoint,
        device=options.device,
        tasks=tuple(options.tasks),
        task_time=options.task_time,
        seed=options.seed,
        domain=options.domain,
    )

    def interrupt(number: int, _: object) -> None:
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs with SIGINT ignored
        signal.signal(number, interrupt)
    console = Console()
    try:
        summary = run_demo(settings, DemoDisplay(console))
    except KeyboardInterrupt as stopped:
        console.print("stopped; nothing is left running")
        return 143 if isinstance(stopped, Terminated) else 130
    except DitPolicyError as error:
        print(f"dit_policy demo: {error}", file=sys.stderr)
        return 1
    path = options.output / "summary.json"
    write_summary(summary, path)
    for table in summary_tables(summary):
        console.print(table)
    done = sum(trial["success"] for trial in summary["instructions"])
    console.print(f"{done} of {len(summary['instructions'])} instructions carried out.")
    console.print(f"Details: {path} and {summary['video']}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

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

from dit_policy_ros.cli.common import (
    CommandParser,
    add_checkpoint_option,
    add_device_option,
    add_domain_option,
    add_json_option,
    add_task_option,
    message_console,
    print_json,
    whole_number,
)
from dit_policy_ros.core.errors import DitPolicyError, TaskError
from dit_policy_ros.core.share import default_checkpoint
from dit_policy_ros.core.wordings import WordingModel
from dit_policy_ros.evaluation.defaults import DEMO_INSTRUCTIONS

EPILOG = """\
Exit code: 0 when the system ran to the end, whether or not the tasks succeeded; 1 when a node died, did not
start or refused its task; 130 after Ctrl-C, 143 after SIGTERM. To look at the topics while it runs, start it
with --domain 42, and set ROS_DOMAIN_ID=42 in the other terminal.
"""


class Terminated(KeyboardInterrupt):
    """SIGTERM ends the demo in the same way as Ctrl-C."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("demo", __doc__, EPILOG)
    add_checkpoint_option(parser)
    add_device_option(parser)
    add_task_option(parser, default="three of them")
    parser.add_argument(
        "--task-time", type=float, default=12.0, metavar="S",
        help="time limit of each instruction [s]; default: %(default)g",
    )  # fmt: skip
    parser.add_argument(
        "--seed",
        type=whole_number(0),
        default=0,
        help="of the scene: where the cubes are; default: %(default)s",
    )
    add_domain_option(parser)
    parser.add_argument("--output", type=Path, default=Path("out/demo"), help="folder; default: %(default)s")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    from dit_policy_ros.sim.tasks import find_task  # MuJoCo, which the help does without

    options.tasks = options.tasks or list(DEMO_INSTRUCTIONS)
    options.meant = {}
    for task in options.tasks:
        try:
            find_task(task)
        except TaskError as error:
            meant = _meant(task, options.checkpoint)
            if meant is None:
                parser.error(f"--task: {error}")
            options.meant[task] = meant
    if not 0.5 <= options.task_time <= 600.0:
        parser.error(f"--task-time: expected 0.5 to 600 s, got {options.task_time}")
    return options


def _meant(wording: str, checkpoint: str) -> str | None:
    """The simulated task that a text means to the checkpoint; None if it means none."""
    from dit_policy_ros.sim.tasks import suite  # needs the simulator, and is needed only for other words

    wordings = WordingModel.read(Path(checkpoint) if checkpoint else default_checkpoint())
    meant = None if wordings is None else wordings.understand(wording).meant
    return meant if meant in [task.instruction for task in suite()] else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns its exit code."""
    options = parse(arguments)
    from dit_policy_ros.evaluation.demo import (  # as above
        DemoDisplay,
        DemoSettings,
        run_demo,
        summary_tables,
        write_summary,
    )

    settings = DemoSettings(
        output=options.output,
        checkpoint=options.checkpoint,
        device=options.device,
        tasks=tuple(options.tasks),
        task_time=options.task_time,
        seed=options.seed,
        domain=options.domain,
        meant=options.meant,
    )

    def interrupt(number: int, _: object) -> None:
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs with SIGINT ignored
        signal.signal(number, interrupt)
    console = message_console(options)
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
    if options.json:
        print_json(summary)
        return 0
    for table in summary_tables(summary):
        console.print(table)
    done = sum(trial["success"] for trial in summary["instructions"])
    console.print(f"{done} of {len(summary['instructions'])} instructions carried out.")
    console.print(f"Details: {path} and {summary['video']}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""`dit_policy dataset`: record demonstrations of the simulated tasks, as on hardware.

sim_node, teleop_expert and recorder_node run as processes of their own with ROS between them, faster than
real time if the computer can. Each demonstration begins in a new scene, and the referee decides when its
task is done. Failed attempts are discarded and repeated. The recorded action is the leader arms' joint
positions; the arms themselves get a small error, which the operator corrects. An existing dataset is
extended: run the command again to continue an interrupted one.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from dit_policy_ros.cli.common import (
    CommandParser,
    add_domain_option,
    add_json_option,
    add_task_option,
    add_variation_options,
    message_console,
    number_between,
    print_json,
    progress_bar,
    read_variation,
    whole_number,
)
from dit_policy_ros.core.errors import DitPolicyError
from dit_policy_ros.evaluation.defaults import PATIENCE
from dit_policy_ros.sim.names import CAMERAS
from dit_policy_ros.sim.vectors import SIM_VECTORS

if TYPE_CHECKING:  # MuJoCo, which the help does without
    from dit_policy_ros.evaluation.demonstrations import CorrectedRun, Demonstration, DemonstrationSettings
    from dit_policy_ros.sim.tasks import Task

EPILOG = """\
example:
  twenty demonstrations of each of two tasks, with the top camera
    dit_policy dataset --output out/lift --demonstrations 20 --cameras top \\
        --task "lift the red cube with the left arm" --task "lift the blue cube with the right arm"
    dit_policy train --dataset out/lift --output out/lift_policy
  runs of that policy, in which the scripted operator takes over when it fails (docs/taking_over.md)
    dit_policy dataset --lock-step --correct out/lift_policy --demonstrations 40 --output out/runs \\
        --task "lift the red cube with the left arm"
dit_policy evaluate --list-tasks lists the tasks. dit_policy push_to_hub puts a dataset on the Hugging Face
hub, with a card.
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser("dataset", __doc__, EPILOG)
    parser.add_argument("--output", type=Path, required=True, help="folder of the LeRobotDataset")
    parser.add_argument(
        "--demonstrations", type=whole_number(1, 10**6), default=10, help="of each task; default: %(default)s"
    )
    add_task_option(parser, default="all tasks")
    parser.add_argument(
        "--cameras",
        nargs="+",
        choices=CAMERAS,
        default=list(CAMERAS),
        metavar="CAMERA",
        help=f"to record, of {', '.join(CAMERAS)}; default: all",
    )
    parser.add_argument(
        "--vectors", nargs="+", choices=[vector.name for vector in SIM_VECTORS], default=[],
        help="what else to record, for `train --state-features`; default: nothing",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, help="of the first scene; default: %(default)s"
    )
    parser.add_argument(
        "--speed", type=float, default=2.0,
        help="highest speed of the simulation, in multiples of real time; it also waits for cameras and "
        "operator; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--disturbance", type=float, default=0.006,
        help="standard deviation of the error added to the arms' targets [rad]; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--knocks", type=float, default=0.0,
        help="how often a knock displaces the arms by centimetres [1/s]; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--aim-error", type=float, default=0.0,
        help="standard deviation of where a hand first comes to above an object, before it corrects [m]; "
        "default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--start-anywhere", action="store_true",
        help="with --lock-step, often begin with the arm over the mat, or over its cube as after a missed "
        "grasp",
    )  # fmt: skip
    parser.add_argument(
        "--picture-every", type=whole_number(1), default=1, metavar="FRAMES",
        help="with --lock-step, render only every so many frames: more demonstrations in less time; the "
        "frames between repeat the image and are flagged, and training starts no example there; "
        "default: %(default)s",
    )  # fmt: skip
    add_variation_options(parser)
    parser.add_argument(
        "--lock-step", action="store_true",
        help="without ROS and its latency, as fast as the computer can, with the recorder's own writer",
    )  # fmt: skip
    parser.add_argument(
        "--correct", type=Path, metavar="CHECKPOINT",
        help="with --lock-step, record attempts of this policy instead; the operator takes over when it has "
        "not done the task in time, and each frame says who drove",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=number_between(0.0, 60.0, "s"), metavar="SECONDS",
        help=f"with --correct, how long the operator waits for the policy, on average; default: {PATIENCE:g}",
    )  # fmt: skip
    add_domain_option(parser)
    parser.add_argument(
        "--logs", type=Path, default=Path("out/dataset"), help="of the nodes; default: %(default)s"
    )
    add_json_option(parser)
    options = parser.parse_args(arguments)
    if not 0.0 <= options.disturbance <= 0.1:
        parser.error(f"--disturbance: expected 0 to 0.1 rad, got {options.disturbance}")
    if not 0.0 <= options.knocks <= 5.0:
        parser.error(f"--knocks: expected 0 to 5 per second, got {options.knocks}")
    if not 0.0 <= options.aim_error <= 0.05:
        parser.error(f"--aim-error: expected 0 to 0.05 m, got {options.aim_error}")
    if options.start_anywhere and not options.lock_step:
        parser.error("--start-anywhere: only with --lock-step; sim_node's scenes begin with the arms at home")
    if options.domain is not None and options.lock_step:
        parser.error("--domain: not with --lock-step, which runs without ROS")
    if options.picture_every > 1 and not options.lock_step:
        parser.error(f"--picture-every: expected 1, or more with --lock-step, got {options.picture_every}")
    if options.correct is not None and not options.lock_step:
        parser.error(
            "--correct: only with --lock-step; over ROS, record the policy node (docs/taking_over.md)"
        )
    if options.patience is not None and options.correct is None:
        parser.error("--patience: only with --correct CHECKPOINT")
    if not 0.1 <= options.speed <= 100.0:
        parser.error(f"--speed: expected 0.1 to 100 times real time, got {options.speed}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Record; returns the exit code: 0 done, 1 a mistake that the message names, 130 interrupted."""
    options = parse(arguments)
    console = message_console(options)
    try:
        run(options, console)
    except DitPolicyError as error:
        print(f"dit_policy dataset: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        console.print(
            f"interrupted; saved demonstrations are in {options.output}; run the command again to add more"
        )
        return 130
    return 0


def run(options: argparse.Namespace, console: Console) -> None:
    """Record and print; raises DitPolicyError."""
    from dit_policy_ros.evaluation.demonstrations import (
        DemonstrationSettings,
        demonstration_facts,
        demonstration_table,
        lockstep_demonstrations,
        ros_demonstrations,
    )
    from dit_policy_ros.sim.tasks import find_task, suite

    settings = DemonstrationSettings(
        output=options.output,
        logs=options.logs,
        cameras=tuple(options.cameras),
        seed=options.seed,
        speed=options.speed,
        disturbance=options.disturbance,
        knocks=options.knocks,
        aim_error=options.aim_error,
        start_anywhere=options.start_anywhere,
        picture_every=options.picture_every,
        variation=read_variation(options),
        domain=options.domain,
        vectors=tuple(options.vectors),
    )
    tasks = tuple(map(find_task, options.tasks)) or suite()
    order = [task for _ in range(options.demonstrations) for task in tasks]
    if options.correct is not None:
        correct(options, settings, tasks, order, console)
        return
    record = lockstep_demonstrations if options.lock_step else ros_demonstrations
    kept: list[Demonstration] = []
    with progress_bar(console) as bar:
        line = bar.add_task("demonstrations", total=len(order), note="starting")
        for demonstration in record(settings, order):
            kept.append(demonstration)
            bar.update(line, advance=1, note=demonstration.task.instruction)
            for reason in demonstration.rejected:
                console.print(
                    f"  {demonstration.task.instruction}: an attempt failed the recorder's check and was "
                    f"made again; it is in the dataset, flagged: {reason}",
                    markup=False,
                )
            for warning in demonstration.warnings:
                console.print(f"  {demonstration.task.instruction}: {warning}", markup=False)
    if options.json:
        print_json(demonstration_facts(tasks, kept))
    else:
        console.print(demonstration_table(tasks, kept))
    console.print(f"{len(kept)} demonstrations were added to {options.output}.", soft_wrap=True)


def correct(
    options: argparse.Namespace,
    settings: "DemonstrationSettings",
    tasks: "Sequence[Task]",
    order: "Sequence[Task]",
    console: Console,
) -> None:
    """Record corrected runs of a policy and print; raises DitPolicyError."""
    from dit_policy_ros.evaluation.demonstrations import (
        correction_facts,
        correction_table,
        lockstep_corrections,
    )

    patience = PATIENCE if options.patience is None else options.patience
    runs: list[CorrectedRun] = []
    with progress_bar(console) as bar:
        line = bar.add_task("attempts", total=len(order), note="starting")
        for run in lockstep_corrections(settings, options.correct, order, patience):
            runs.append(run)
            corrected = sum(each.human_frames > 0 for each in runs)
            bar.update(line, advance=1, note=f"the operator took over in {corrected}")
    if options.json:
        print_json(correction_facts(tasks, runs))
    else:
        console.print(correction_table(tasks, runs))
    console.print(f"{len(runs)} attempts were added to {options.output}.", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
